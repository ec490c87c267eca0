#include "host/text/jinja/expression_parser.hpp"

#include <charconv>

namespace quanthost::text::jinja {
namespace {

// The parser and the interpreter recurse: of nested expressions, and of nodes in one (a chain is as
// deep as long).
constexpr int kMaxDepth = 200;
constexpr int kMaxNodes = 2000;

std::int64_t whole_number(const Token& token) {
  std::int64_t value = 0;
  const char* end = token.text.data() + token.text.size();
  if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
    fail(ErrorKind::kValue, "line {}: the number {} is too large", token.line, token.text);
  }
  return value;
}

}  // namespace

bool ExpressionParser::take_sign(std::string_view sign) {
  return sees_sign(sign) && (take(), true);
}
bool ExpressionParser::take_name(std::string_view name) {
  return sees_name(name) && (take(), true);
}

void ExpressionParser::require_sign(std::string_view sign) {
  if (!take_sign(sign)) unexpected();
}

std::string ExpressionParser::require_name() {
  if (now().kind != TokenKind::kName) unexpected();
  return take().text;
}

void ExpressionParser::unexpected() const {
  fail(ErrorKind::kValue, "line {}: {} is not expected here", now().line,
       now().text.empty() ? "the end of the tag" : fmt::format("\"{}\"", now().text));
}

ExpressionPtr ExpressionParser::make(Operation operation) {
  if (++nodes_ > kMaxNodes)
    fail(ErrorKind::kValue, "line {}: the expression is too long", now().line);
  auto expression = std::make_unique<Expression>();
  expression->operation = operation;
  expression->line = now().line;
  return expression;
}

template <typename... Operands>
ExpressionPtr ExpressionParser::make(Operation operation, Operands... operands) {
  ExpressionPtr expression = make(operation);
  (expression->operands.push_back(std::move(operands)), ...);
  return expression;
}

ExpressionPtr ExpressionParser::left_to_right(
    Level next, std::initializer_list<std::pair<std::string_view, Operation>> signs) {
  ExpressionPtr left = (this->*next)();
  for (auto sign = signs.begin(); sign != signs.end();) {
    if (!take_sign(sign->first)) {
      ++sign;
      continue;
    }
    left = make(sign->second, std::move(left), (this->*next)());
    sign = signs.begin();
  }
  return left;
}

ExpressionPtr ExpressionParser::without_condition() {
  nodes_ = 0;
  return disjunction();
}

ExpressionPtr ExpressionParser::expression() {
  if (depth_ == 0) nodes_ = 0;
  if (++depth_ > kMaxDepth)
    fail(ErrorKind::kValue, "line {}: expressions are nested too deeply", now().line);
  ExpressionPtr value = disjunction();
  while (take_name("if")) {
    value = make(Operation::kConditional, std::move(value), disjunction());
    if (take_name("else")) value->operands.push_back(expression());
  }
  --depth_;
  return value;
}

ExpressionPtr ExpressionParser::tuple() {
  ExpressionPtr first = expression();
  if (!sees_sign(",")) return first;
  ExpressionPtr list = make(Operation::kList, std::move(first));
  while (take_sign(",")) list->operands.push_back(expression());
  return list;
}

ExpressionPtr ExpressionParser::disjunction() {
  ExpressionPtr left = conjunction();
  while (take_name("or")) left = make(Operation::kOr, std::move(left), conjunction());
  return left;
}

ExpressionPtr ExpressionParser::conjunction() {
  ExpressionPtr left = negation();
  while (take_name("and")) left = make(Operation::kAnd, std::move(left), negation());
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  bool negative = false;
  while (take_name("not")) negative = !negative;
  ExpressionPtr value = comparison();
  return negative ? make(Operation::kNot, std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr left = left_to_right(&ExpressionParser::sum, {{"==", Operation::kEqual},
                                                              {"!=", Operation::kNotEqual},
                                                              {"<=", Operation::kLessOrEqual},
                                                              {">=", Operation::kGreaterOrEqual},
                                                              {"<", Operation::kLess},
                                                              {">", Operation::kGreater}});
  while (sees_name("in") || sees_name("not")) {
    const bool negative = take_name("not");
    if (!take_name("in")) unexpected();
    left = make(negative ? Operation::kNotIn : Operation::kIn, std::move(left), sum());
  }
  return left;
}

ExpressionPtr ExpressionParser::sum() {
  return left_to_right(&ExpressionParser::concatenation,
                       {{"+", Operation::kAdd}, {"-", Operation::kSubtract}});
}

ExpressionPtr ExpressionParser::concatenation() {
  return left_to_right(&ExpressionParser::product, {{"~", Operation::kConcatenate}});
}

ExpressionPtr ExpressionParser::product() {
  return left_to_right(&ExpressionParser::unary, {{"*", Operation::kMultiply},
                                                  {"/", Operation::kDivide},
                                                  {"//", Operation::kFloorDivide},
                                                  {"%", Operation::kModulo}});
}

// Filters and tests bind to the whole of a signed number: -1|abs is 1.
ExpressionPtr ExpressionParser::unary() {
  if (take_sign("-")) {
    if (++depth_ > kMaxDepth) unexpected();
    ExpressionPtr value = make(Operation::kNegate, unary());
    --depth_;
    return filters_and_tests(std::move(value));
  }
  take_sign("+");
  return filters_and_tests(power());
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr base = postfix(primary());
  while (take_sign("**")) base = make(Operation::kPower, std::move(base), unary());
  return base;
}

ExpressionPtr ExpressionParser::bracketed(std::string_view closing, Operation operation) {
  ExpressionPtr result = make(operation);
  while (!take_sign(closing)) {
    result->operands.push_back(expression());
    if (operation == Operation::kDict) {
      require_sign(":");
      result->operands.push_back(expression());
    }
    if (!sees_sign(closing)) require_sign(",");
  }
  return result;
}

ExpressionPtr ExpressionParser::primary() {
  const auto constant = [&](Value value) {
    ExpressionPtr expression = make(Operation::kConstant);
    expression->constant = std::move(value);
    return expression;
  };
  switch (now().kind) {
    case TokenKind::kInteger:
      return constant(whole_number(take()));
    case TokenKind::kFloat:
      return constant(std::strtod(take().text.c_str(), nullptr));
    case TokenKind::kString: {
      std::string text = take().text;
      while (now().kind == TokenKind::kString) text += take().text;
      return constant(std::move(text));
    }
    case TokenKind::kName: {
      const std::string name = take().text;
      if (name == "true" || name == "True") return constant(true);
      if (name == "false" || name == "False") return constant(false);
      if (name == "none" || name == "None") return constant(None{});
      ExpressionPtr expression = make(Operation::kName);
      expression->name = name;
      return expression;
    }
    default:
      break;
  }
  if (take_sign("[")) return bracketed("]", Operation::kList);
  if (take_sign("{")) return bracketed("}", Operation::kDict);
  if (!take_sign("(")) unexpected();
  if (take_sign(")")) return make(Operation::kList);
  ExpressionPtr inner = tuple();
  require_sign(")");
  return inner;
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr base) {
  while (true) {
    if (take_sign(".")) {
      base = make(Operation::kAttribute, std::move(base));
      base->name = require_name();
    } else if (take_sign("[")) {
      base = subscript(std::move(base));
    } else if (take_sign("(")) {
      base = make(Operation::kCall, std::move(base));
      arguments(*base);
    } else {
      return base;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr base) {
  const auto bound = [&]() -> ExpressionPtr {
    if (!sees_sign(":") && !sees_sign("]")) return expression();
    ExpressionPtr missing = make(Operation::kConstant);
    missing->constant = None{};
    return missing;
  };
  ExpressionPtr first = bound();
  if (take_sign("]")) return make(Operation::kItem, std::move(base), std::move(first));
  require_sign(":");
  ExpressionPtr end = bound();
  take_sign(":");
  ExpressionPtr step = bound();
  require_sign("]");
  return make(Operation::kSlice, std::move(base), std::move(first), std::move(end),
              std::move(step));
}

// Up to the closing parenthesis.
void ExpressionParser::arguments(Expression& call) {
  while (!take_sign(")")) {
    const bool keyword = now().kind == TokenKind::kName &&
                         tokens_[next_ + 1].kind == TokenKind::kSign &&
                         tokens_[next_ + 1].text == "=";
    if (keyword) {
      std::string name = require_name();
      require_sign("=");
      call.keywords.emplace_back(std::move(name), expression());
    } else {
      call.operands.push_back(expression());
    }
    if (!sees_sign(")")) require_sign(",");
  }
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr base) {
  while (true) {
    if (take_sign("|")) {
      base = make(Operation::kFilter, std::move(base));
      base->name = require_name();
      if (take_sign("(")) arguments(*base);
    } else if (take_name("is")) {
      base = test(std::move(base));
    } else if (base->operation == Operation::kFilter &&
               (sees_sign(".") || sees_sign("[") || sees_sign("("))) {
      base = postfix(std::move(base));
    } else {
      return base;
    }
  }
}

// x is [not] name, name(arguments) or name argument.
ExpressionPtr ExpressionParser::test(ExpressionPtr base) {
  const bool negative = take_name("not");
  ExpressionPtr result = make(Operation::kTest, std::move(base));
  result->name = require_name();
  const bool constant = now().kind == TokenKind::kString || now().kind == TokenKind::kInteger ||
                        now().kind == TokenKind::kFloat;
  const bool name = now().kind == TokenKind::kName && !sees_name("else") && !sees_name("or") &&
                    !sees_name("and") && !sees_name("if") && !sees_name("is") && !sees_name("in") &&
                    !sees_name("not");
  if (take_sign("(")) {
    arguments(*result);
  } else if (constant || name) {
    result->operands.push_back(postfix(primary()));
  }
  return negative ? make(Operation::kNot, std::move(result)) : std::move(result);
}

}  // namespace quanthost::text::jinja
