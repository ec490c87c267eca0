// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

enum class Operation {
  kConstant,   // constant
  kName,       // name
  kList,       // operands
  kDict,       // operands: key, value, key, value, …
  kAttribute,  // operands[0].name
  kItem,       // operands[0][operands[1]]
  kSlice,   // operands[0][operands[1]:operands[2]:operands[3]]; a missing bound is a constant None
  kCall,    // operands[0](…): the others and the keywords are arguments
  kFilter,  // operands[0] | name(…)
  kTest,    // operands[0] is name(…)
  kNot,
  kNegate,
  kAnd,
  kOr,
  kConcatenate,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kIn,
  kNotIn,
  kConditional,  // operands: value, condition, other (may be missing)
};

struct Expression {
  Operation operation;
  int line = 0;
  std::string name;
  Value constant;
  std::vector<std::unique_ptr<Expression>> operands;
  std::vector<std::pair<std::string, std::unique_ptr<Expression>>> keywords;
};
using ExpressionPtr = std::unique_ptr<Expression>;

enum class Action { kText, kOutput, kIf, kFor, kSet, kSetBlock, kMacro, kBreak, kContinue, kGroup };

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  Action action;
  int line = 0;
  std::string text;  // kText
  std::vector<std::string>
      names;  // kFor, kSet: targets ("ns.name" for a namespace); kMacro: its name, then parameters
  // kOutput, kSet: the value; kIf: one condition a block but for "else"; kFor: what it goes
  // through, then the filter; kMacro: the parameters' defaults, null where there is none.
  std::vector<ExpressionPtr> expressions;
  // kIf: the branches; kFor: the body, then "else"; kMacro, kSetBlock, kGroup: the body.
  std::vector<Block> blocks;
};

// Throws ValueError with the line for what is not Jinja, NotImplementedError for Jinja that chat
// templates do without (inheritance, includes, call blocks, recursive loops).
Block parse(std::string_view source);

}  // namespace quanthost::text::jinja
