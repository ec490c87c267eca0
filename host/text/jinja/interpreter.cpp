#include "host/text/jinja/interpreter.hpp"

#include <algorithm>
#include <deque>
#include <map>

#include "host/text/jinja/filters.hpp"
#include "host/text/jinja/functions.hpp"
#include "host/text/jinja/methods.hpp"
#include "host/text/jinja/operators.hpp"
#include "host/text/jinja/tests.hpp"

namespace quanthost::text::jinja {
namespace {

constexpr std::size_t kMaxSteps = 500'000;
constexpr std::size_t kMaxOutputBytes = 256u << 20;
constexpr int kMaxCallDepth = 50;  // of macros
// Of expressions in each other, through all macros: the stack is finite.
constexpr int kMaxNesting = 800;

enum class Flow { kOn, kBreak, kContinue };

using Scope = std::map<std::string, Value, std::less<>>;

class Interpreter {
 public:
  explicit Interpreter(const Dict& variables) {
    for (const auto& [name, value] : variables.items) scopes_.front()[name] = value;
  }

  std::string run(const Block& block) {
    std::string out;
    execute(block, out);
    return out;
  }

 private:
  // Statements.

  Flow execute(const Block& block, std::string& out) {
    for (const Statement& statement : block) {
      count_step(statement.line);
      const Flow flow = execute(statement, out);
      if (flow != Flow::kOn) return flow;
      if (out.size() > kMaxOutputBytes)
        fail(ErrorKind::kRuntime, "line {}: the output is too long", statement.line);
    }
    return Flow::kOn;
  }

  Flow execute(const Statement& statement, std::string& out) {
    switch (statement.action) {
      case Action::kText:
        out += statement.text;
        break;
      case Action::kOutput:
        out += evaluate(*statement.expressions[0]).text();
        break;
      case Action::kIf:
        return execute_if(statement, out);
      case Action::kFor:
        execute_for(statement, out);
        break;
      case Action::kSet:
        assign(statement.names, evaluate(*statement.expressions[0]), statement.line);
        break;
      case Action::kSetBlock: {
        std::string text;
        scopes_.emplace_back();
        execute(statement.blocks[0], text);
        scopes_.pop_back();
        assign(statement.names, std::move(text), statement.line);
        break;
      }
      case Action::kMacro:
        define_macro(statement);
        break;
      case Action::kGroup:
        return execute(statement.blocks[0], out);
      case Action::kBreak:
        return Flow::kBreak;
      case Action::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  Flow execute_if(const Statement& statement, std::string& out) {
    for (std::size_t i = 0; i < statement.blocks.size(); ++i) {
      const bool is_else = i == statement.expressions.size();
      if (is_else || evaluate(*statement.expressions[i]).truth())
        return execute(statement.blocks[i], out);
    }
    return Flow::kOn;
  }

  void execute_for(const Statement& statement, std::string& out) {
    List items =
        at_line(statement.line, [&] { return items_of(evaluate(*statement.expressions[0])); });
    scopes_.emplace_back();
    if (statement.expressions.size() > 1) {
      std::erase_if(items, [&](const Value& item) {
        assign(statement.names, item, statement.line);
        return !evaluate(*statement.expressions[1]).truth();
      });
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      count_step(statement.line);
      scopes_.back().clear();  // what a turn sets is gone in the next
      scopes_.back()["loop"] = loop_variable(items, i);
      assign(statement.names, items[i], statement.line);
      if (execute(statement.blocks[0], out) == Flow::kBreak) break;
    }
    scopes_.pop_back();
    if (items.empty() && statement.blocks.size() > 1) execute(statement.blocks[1], out);
  }

  static Value loop_variable(const List& items, std::size_t i) {
    const auto index = static_cast<std::int64_t>(i);
    const auto length = static_cast<std::int64_t>(items.size());
    Dict loop;
    loop.items = {{"index", index + 1},
                  {"index0", index},
                  {"revindex", length - index},
                  {"revindex0", length - index - 1},
                  {"first", index == 0},
                  {"last", index + 1 == length},
                  {"length", length}};
    if (i > 0) loop.set("previtem", items[i - 1]);
    if (i + 1 < items.size()) loop.set("nextitem", items[i + 1]);
    return Value::dict(std::move(loop));
  }

  // Several names take a list apart.
  void assign(const std::vector<std::string>& names, const Value& value, int line) {
    if (names.size() == 1) return assign(names[0], value, line);
    const List* parts = value.list();
    if (!parts || parts->size() != names.size()) {
      fail(ErrorKind::kValue, "line {}: {} names need a list of as many, found {}", line,
           names.size(), value.repr());
    }
    for (std::size_t i = 0; i < names.size(); ++i) assign(names[i], (*parts)[i], line);
  }

  void assign(const std::string& name, const Value& value, int line) {
    const std::size_t dot = name.find('.');
    if (dot == std::string::npos) {
      scopes_.back()[name] = value;
      return;
    }
    const Value owner = lookup(name.substr(0, dot));
    if (!owner.dict() || !owner.dict()->is_namespace) {
      fail(ErrorKind::kType, "line {}: {} is no namespace, so {} cannot be set", line,
           name.substr(0, dot), name);
    }
    owner.dict()->set(name.substr(dot + 1), value);
  }

  void define_macro(const Statement& macro) {
    scopes_.back()[macro.names[0]] = Value::function(
        [this, &macro](const Arguments& arguments) { return call_macro(macro, arguments); });
  }

  // A macro sees the template's own variables and its parameters, not those of where it is called.
  Value call_macro(const Statement& macro, const Arguments& arguments) {
    if (++call_depth_ > kMaxCallDepth)
      fail(ErrorKind::kRuntime, "line {}: macros call each other too deeply", macro.line);
    std::deque<Scope> callers;
    while (scopes_.size() > 1) {
      callers.push_front(std::move(scopes_.back()));
      scopes_.pop_back();
    }
    scopes_.emplace_back();
    for (std::size_t i = 1; i < macro.names.size(); ++i) {
      Value value = arguments.get(i - 1, macro.names[i]);
      if (value.is_undefined() && macro.expressions[i - 1])
        value = evaluate(*macro.expressions[i - 1]);
      scopes_.back()[macro.names[i]] = std::move(value);
    }
    std::string text;
    execute(macro.blocks[0], text);
    scopes_.pop_back();
    for (Scope& scope : callers) scopes_.push_back(std::move(scope));
    --call_depth_;
    return text;
  }

  // Expressions.

  Value lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found != scope->end()) return found->second;
    }
    return global_function(name);
  }

  void count_step(int line) {
    if (++steps_ > kMaxSteps)
      fail(ErrorKind::kRuntime, "line {}: the template runs for too long", line);
  }

  // Errors of the work get the line in front, once.
  template <typename Work>
  auto at_line(int line, Work work) -> decltype(work()) {
    try {
      return work();
    } catch (const Error& error) {
      if (error.message().starts_with("line ")) throw;
      throw error.within(fmt::format("line {}", line));
    }
  }

  Value evaluate(const Expression& e) {
    count_step(e.line);
    if (depth_ >= kMaxNesting)
      fail(ErrorKind::kRuntime, "line {}: expressions are nested too deeply", e.line);
    ++depth_;  // an exception ends the whole template, so nothing counts down on that way
    Value value = at_line(e.line, [&] { return evaluate_operation(e); });
    --depth_;
    return value;
  }
  Value operand(const Expression& e, std::size_t i) { return evaluate(*e.operands[i]); }

  Value evaluate_operation(const Expression& e) {
    switch (e.operation) {
      case Operation::kConstant:
        return e.constant;
      case Operation::kName:
        return lookup(e.name);
      case Operation::kList: {
        List items;
        for (const auto& item : e.operands) items.push_back(evaluate(*item));
        return Value::list(std::move(items));
      }
      case Operation::kDict: {
        Dict items;
        for (std::size_t i = 0; i < e.operands.size(); i += 2)
          items.set(operand(e, i).text(), operand(e, i + 1));
        return Value::dict(std::move(items));
      }
      case Operation::kAttribute:
        return attribute(e);
      case Operation::kItem:
        return item(operand(e, 0), operand(e, 1));
      case Operation::kSlice:
        return slice(operand(e, 0), operand(e, 1), operand(e, 2), operand(e, 3));
      case Operation::kCall:
        return call(e);
      case Operation::kFilter:
        return apply_filter(e.name, operand(e, 0), arguments(e));
      case Operation::kTest:
        return apply_test(e.name, operand(e, 0), arguments(e));
      case Operation::kNot:
        return !operand(e, 0).truth();
      case Operation::kNegate:
        return negate(operand(e, 0));
      case Operation::kAnd: {
        Value left = operand(e, 0);
        return left.truth() ? operand(e, 1) : left;
      }
      case Operation::kOr: {
        Value left = operand(e, 0);
        return left.truth() ? left : operand(e, 1);
      }
      case Operation::kConcatenate:
        return operand(e, 0).text() + operand(e, 1).text();
      case Operation::kConditional:
        if (operand(e, 1).truth()) return operand(e, 0);
        return e.operands.size() > 2 ? operand(e, 2) : Value();
      case Operation::kEqual:
        return operand(e, 0).equals(operand(e, 1));
      case Operation::kNotEqual:
        return !operand(e, 0).equals(operand(e, 1));
      case Operation::kLess:
        return compare(operand(e, 0), operand(e, 1)) < 0;
      case Operation::kLessOrEqual:
        return compare(operand(e, 0), operand(e, 1)) <= 0;
      case Operation::kGreater:
        return compare(operand(e, 0), operand(e, 1)) > 0;
      case Operation::kGreaterOrEqual:
        return compare(operand(e, 0), operand(e, 1)) >= 0;
      case Operation::kIn:
        return contains(operand(e, 1), operand(e, 0));
      case Operation::kNotIn:
        return !contains(operand(e, 1), operand(e, 0));
      default:
        return arithmetic(e.operation, operand(e, 0), operand(e, 1));
    }
  }

  Arguments arguments(const Expression& e) {
    Arguments result;
    for (std::size_t i = 1; i < e.operands.size(); ++i) result.positional.push_back(operand(e, i));
    for (const auto& [name, value] : e.keywords)
      result.keyword.emplace_back(name, evaluate(*value));
    return result;
  }

  Value attribute(const Expression& e) {
    const Value owner = operand(e, 0);
    if (owner.is_undefined()) {
      fail(ErrorKind::kAttribute, "\"{}\" is not defined, so it has no \"{}\"", e.operands[0]->name,
           e.name);
    }
    if (owner.dict()) {
      if (const Value* found = owner.dict()->find(e.name)) return *found;
    }
    return method_of(owner, e.name);
  }

  Value call(const Expression& e) {
    const Value callee = operand(e, 0);
    if (!callee.function())
      fail(ErrorKind::kType, "\"{}\" is no function that templates can call", e.operands[0]->name);
    return (*callee.function())(arguments(e));
  }

  std::deque<Scope> scopes_ = std::deque<Scope>(1);  // the first is the template's own
  std::size_t steps_ = 0;
  int call_depth_ = 0;
  int depth_ = 0;
};

}  // namespace

std::string render(const Block& block, const Dict& variables) {
  return Interpreter(variables).run(block);
}

}  // namespace quanthost::text::jinja
