// The expressions of Jinja, by precedence.
#pragma once

#include <vector>

#include "host/text/jinja/lexer.hpp"
#include "host/text/jinja/syntax_tree.hpp"

namespace quanthost::text::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  ExpressionPtr expression();  // with "… if … else …"
  ExpressionPtr without_condition();
  ExpressionPtr tuple();  // a, b, c: a list when there is a comma

 protected:
  const Token& now() const { return tokens_[next_]; }
  Token take() { return tokens_[next_ + 1 < tokens_.size() ? next_++ : next_]; }
  bool sees_sign(std::string_view sign) const {
    return now().kind == TokenKind::kSign && now().text == sign;
  }
  bool sees_name(std::string_view name) const {
    return now().kind == TokenKind::kName && now().text == name;
  }
  bool take_sign(std::string_view sign);
  bool take_name(std::string_view name);
  void require_sign(std::string_view sign);
  std::string require_name();
  [[noreturn]] void unexpected() const;

 private:
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr unary();
  ExpressionPtr power();
  ExpressionPtr primary();
  ExpressionPtr postfix(ExpressionPtr base);
  ExpressionPtr filters_and_tests(ExpressionPtr base);
  ExpressionPtr subscript(ExpressionPtr base);
  ExpressionPtr test(ExpressionPtr base);
  ExpressionPtr bracketed(std::string_view closing, Operation operation);
  void arguments(Expression& call);

  ExpressionPtr make(Operation operation);
  template <typename... Operands>
  ExpressionPtr make(Operation operation, Operands... operands);
  using Level = ExpressionPtr (ExpressionParser::*)();
  ExpressionPtr left_to_right(Level next,
                              std::initializer_list<std::pair<std::string_view, Operation>> signs);

  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  int depth_ = 0;  // of parentheses and the like
  int nodes_ = 0;  // of the expression being read
};

}  // namespace quanthost::text::jinja
