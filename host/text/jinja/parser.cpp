// The statements of Jinja.
#include <algorithm>
#include <array>

#include "host/text/jinja/expression_parser.hpp"

namespace quanthost::text::jinja {
namespace {

constexpr int kMaxBlockDepth = 100;  // the interpreter recurses too

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block run() {
    Block block = statements();
    if (now().kind != TokenKind::kEnd) {
      fail(ErrorKind::kValue, "line {}: {{% {} %}} closes nothing", now().line, now().text);
    }
    return block;
  }

 private:
  // Up to the end, or to a tag that belongs to the statement around; its "{%" is taken, its name is
  // not.
  Block statements() {
    if (++block_depth_ > kMaxBlockDepth)
      fail(ErrorKind::kValue, "line {}: blocks are nested too deeply", now().line);
    Block block;
    while (now().kind != TokenKind::kEnd) {
      const Token token = take();
      if (token.kind == TokenKind::kText) {
        block.push_back(statement(Action::kText, token.line));
        block.back().text = token.text;
      } else if (token.kind == TokenKind::kOutputBegin) {
        block.push_back(statement(Action::kOutput, token.line));
        block.back().expressions.push_back(tuple());
        close(TokenKind::kOutputEnd);
      } else if (belongs_outside(now().text)) {
        break;
      } else {
        block.push_back(tag());
      }
    }
    --block_depth_;
    return block;
  }

  static bool belongs_outside(std::string_view name) {
    return name == "elif" || name == "else" || name.starts_with("end");
  }

  static Statement statement(Action action, int line) {
    Statement result;
    result.action = action;
    result.line = line;
    return result;
  }

  void close(TokenKind kind) {
    if (now().kind != kind) unexpected();
    take();
  }

  Block body_until(std::string_view end) {
    close(TokenKind::kBlockEnd);
    Block body = statements();
    finish(end);
    return body;
  }

  void finish(std::string_view end) {
    if (!take_name(end)) {
      fail(ErrorKind::kValue, "line {}: {{% {} %}} is missing", now().line, end);
    }
    close(TokenKind::kBlockEnd);
  }

  Statement tag() {
    const int line = now().line;
    const std::string name = require_name();
    if (name == "if") return if_tag(line);
    if (name == "for") return for_tag(line);
    if (name == "set") return set_tag(line);
    if (name == "macro") return macro_tag(line);
    if (name == "break" || name == "continue") {
      close(TokenKind::kBlockEnd);
      return statement(name == "break" ? Action::kBreak : Action::kContinue, line);
    }
    if (name == "generation") {  // marks what the model writes, for training; prints its body
      Statement group = statement(Action::kGroup, line);
      group.blocks.push_back(body_until("endgeneration"));
      return group;
    }
    throw Error(ErrorKind::kNotImplemented,
                fmt::format("line {}: the statement {{% {} %}} is not supported", line, name),
                "supported are if, for, set, macro, break, continue and generation");
  }

  Statement if_tag(int line) {
    Statement result = statement(Action::kIf, line);
    bool more = true;
    result.expressions.push_back(tuple());
    while (more) {
      close(TokenKind::kBlockEnd);
      result.blocks.push_back(statements());
      more = result.blocks.size() <= result.expressions.size();
      if (more && take_name("elif")) {
        result.expressions.push_back(tuple());
      } else if (!(more && take_name("else"))) {
        more = false;
      }
    }
    finish("endif");
    return result;
  }

  Statement for_tag(int line) {
    Statement result = statement(Action::kFor, line);
    const bool parenthesis = take_sign("(");
    do result.names.push_back(require_name());
    while (take_sign(","));
    if (parenthesis) require_sign(")");
    if (!take_name("in")) unexpected();
    result.expressions.push_back(without_condition());
    if (take_name("if")) result.expressions.push_back(expression());
    if (sees_name("recursive"))
      fail(ErrorKind::kNotImplemented, "line {}: recursive loops are not supported", line);
    close(TokenKind::kBlockEnd);
    result.blocks.push_back(statements());
    if (take_name("else")) {
      close(TokenKind::kBlockEnd);
      result.blocks.push_back(statements());
    }
    finish("endfor");
    return result;
  }

  Statement set_tag(int line) {
    Statement result = statement(Action::kSet, line);
    do {
      std::string name = require_name();
      if (take_sign(".")) name.append(".").append(require_name());
      result.names.push_back(std::move(name));
    } while (take_sign(","));
    if (take_sign("=")) {
      result.expressions.push_back(tuple());
      close(TokenKind::kBlockEnd);
    } else {
      result.action = Action::kSetBlock;
      result.blocks.push_back(body_until("endset"));
    }
    return result;
  }

  Statement macro_tag(int line) {
    Statement result = statement(Action::kMacro, line);
    result.names.push_back(require_name());
    require_sign("(");
    while (!take_sign(")")) {
      result.names.push_back(require_name());
      result.expressions.push_back(take_sign("=") ? expression() : nullptr);
      if (!sees_sign(")")) require_sign(",");
    }
    result.blocks.push_back(body_until("endmacro"));
    return result;
  }

  int block_depth_ = 0;
};

}  // namespace

Block parse(std::string_view source) { return Parser(tokenize(source)).run(); }

}  // namespace quanthost::text::jinja
