#include "host/cli/completion_scripts.hpp"

#include <algorithm>

#include "host/cli/full_table.hpp"

namespace quanthost::cli {
namespace {

std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

std::vector<std::string> verb_names(const VerbEntry& verb) {
  std::vector<std::string> out;
  for (const VerbEntry& below : verb.verbs) out.push_back(below.name);
  return out;
}

// Options of the verb and the global ones of the root.
std::vector<OptionEntry> options_of(const VerbEntry& verb, const VerbEntry& root) {
  std::vector<OptionEntry> out;
  const auto add = [&](const VerbEntry& from) {
    for (const OptionEntry& option : from.options)
      if (!option.positional) out.push_back(option);
  };
  add(verb);
  if (&verb != &root) add(root);
  out.push_back({{"-h", "--help"}, "This text", false, false, false, false, {}});
  return out;
}

std::vector<std::string> choices_of_arguments(const VerbEntry& verb) {
  std::vector<std::string> out;
  for (const OptionEntry& option : verb.options)
    if (option.positional) out.insert(out.end(), option.choices.begin(), option.choices.end());
  return out;
}

// Text within '…' of a POSIX shell.
std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// fish knows two escapes within '…'.
std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// Within "…[…]" of _arguments, : and [ ] end the text.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string without_program(const std::string& path) {
  const std::size_t space = path.find(' ');
  return space == path.npos ? "" : path.substr(space + 1);
}

constexpr const char* kBashHead =
    R"(# bash completion of quanthost; written by 'quanthost completion bash'.
_quanthost() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path='' word i
  local verbs options values words=''
  COMPREPLY=()
  # The verb so far: words that are verbs below the ones before.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    _quanthost_table "$path"
    case " $verbs " in *" $word "*) path=${path:+$path }$word ;; esac
  done
  _quanthost_table "$path"
  _quanthost_values "$path" "$previous"
  if [ $? = 0 ]; then words=$values
  elif [[ $current == -* ]]; then words=$options
  else words=$verbs
  fi
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}
)";

constexpr const char* kBashTail = "complete -o default -F _quanthost quanthost\n";

// The names of an option as patterns of `case`.
std::string bash_patterns(const OptionEntry& option) { return joined(option.names, " | "); }

}  // namespace

std::string bash_completion(const VerbEntry& command) {
  std::string table = "_quanthost_table() {\n  case $1 in\n";
  // An option whose value is to come: its choices, or nothing, which leaves it to file names.
  std::string values = "_quanthost_values() {\n  values=''\n  case $1 in\n";
  for (const auto& [path, verb] : walk(command)) {
    const std::string key = shell_quoted(without_program(path));
    std::vector<std::string> names, words = verb_names(*verb);
    std::string cases;
    for (const OptionEntry& option : options_of(*verb, command)) {
      names.insert(names.end(), option.names.begin(), option.names.end());
      if (option.takes_value)
        cases += fmt::format("      {}) values={}; return 0 ;;\n", bash_patterns(option),
                             shell_quoted(joined(option.choices)));
    }
    const auto choices = choices_of_arguments(*verb);
    words.insert(words.end(), choices.begin(), choices.end());
    table += fmt::format("    {}) verbs={} options={} ;;\n", key, shell_quoted(joined(words)),
                         shell_quoted(joined(names)));
    values += fmt::format("    {}) case $2 in\n{}      esac ;;\n", key, cases);
  }
  table += "    *) verbs='' options='' ;;\n  esac\n}\n";
  values += "  esac\n  return 1\n}\n";
  return kBashHead + table + values + kBashTail;
}

std::string zsh_completion(const VerbEntry& command) {
  std::string out =
      "#compdef quanthost\n# zsh completion of quanthost; written by 'quanthost completion zsh'.\n";
  for (const auto& [path, verb] : walk(command)) {
    std::string name = "_" + path;
    std::replace(name.begin(), name.end(), ' ', '_');
    std::replace(name.begin(), name.end(), '-', '_');
    out += fmt::format("{}() {{\n  local -a verbs\n  _arguments -C", name);
    for (const OptionEntry& option : options_of(*verb, command)) {
      for (const std::string& option_name : option.names) {
        std::string spec = fmt::format("{}{}[{}]", option.repeatable ? "*" : "", option_name,
                                       zsh_text(option.help));
        if (option.takes_value)
          spec += option.choices.empty() ? ":value:_files"
                                         : fmt::format(":value:({})", joined(option.choices));
        out += " \\\n    " + shell_quoted(spec);
      }
    }
    if (!verb->verbs.empty()) {
      out += " \\\n    '1: :->verb' '*:: :->rest'\n  case $state in\n    verb) verbs=(\n";
      for (const VerbEntry& below : verb->verbs)
        out += fmt::format("      {}\n", shell_quoted(below.name + ":" + zsh_text(below.summary)));
      out += "    ); _describe verb verbs ;;\n    rest) case $words[1] in\n";
      for (const VerbEntry& below : verb->verbs) {
        std::string function = name + "_" + below.name;
        std::replace(function.begin(), function.end(), '-', '_');
        out += fmt::format("      {}) {} ;;\n", below.name, function);
      }
      out += "    esac ;;\n  esac\n}\n";
    } else {
      const auto choices = choices_of_arguments(*verb);
      out += choices.empty() ? " \\\n    '*:file:_files'\n}\n"
                             : fmt::format(" \\\n    '1:value:({})'\n}}\n", joined(choices));
    }
  }
  return out + "_quanthost \"$@\"\n";
}

std::string fish_completion(const VerbEntry& command) {
  std::string out = "# fish completion of quanthost; written by 'quanthost completion fish'.\n";
  for (const auto& [path, verb] : walk(command)) {
    const std::string key = without_program(path);
    std::string condition = key.empty() ? "__fish_use_subcommand" : "";
    std::vector<std::string> words;
    for (std::size_t at = 0; at < key.size();) {
      const std::size_t end = std::min(key.find(' ', at), key.size());
      words.push_back(key.substr(at, end - at));
      condition += fmt::format("{}__fish_seen_subcommand_from {}",
                               condition.empty() ? "" : "; and ", words.back());
      at = end + 1;
    }
    for (const VerbEntry& below : verb->verbs) {
      const std::string when = key.empty()
                                   ? condition
                                   : fmt::format("{}; and not __fish_seen_subcommand_from {}",
                                                 condition, joined(verb_names(*verb)));
      out += fmt::format("complete -c quanthost -f -n {} -a {} -d {}\n", fish_quoted(when),
                         fish_quoted(below.name), fish_quoted(below.summary));
    }
    for (const OptionEntry& option : options_of(*verb, key.empty() ? *verb : VerbEntry{})) {
      std::string line = "complete -c quanthost";
      if (!key.empty()) line += " -n " + fish_quoted(condition);
      for (const std::string& name : option.names)
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (option.takes_value)
        line += option.choices.empty() ? " -r" : " -x -a " + fish_quoted(joined(option.choices));
      out += line + " -d " + fish_quoted(option.help) + "\n";
    }
    for (const std::string& choice : choices_of_arguments(*verb))
      out += fmt::format("complete -c quanthost -f -n {} -a {}\n", fish_quoted(condition),
                         fish_quoted(choice));
  }
  return out;
}

}  // namespace quanthost::cli
