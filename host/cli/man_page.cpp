#include "host/cli/man_page.hpp"

#include <algorithm>
#include <sstream>

#include "host/cli/exit_code.hpp"
#include "host/cli/settings.hpp"

namespace quanthost::cli {
namespace {

// Text that roff prints as it is: no line of it is a request, no dash becomes a hyphen.
std::string roff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    line_start = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string page_title(std::string path) {
  std::replace(path.begin(), path.end(), ' ', '-');
  return path;
}

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::string synopsis(const std::string& path, const VerbEntry& verb) {
  std::string out = fmt::format(".B {}\n", roff(path));
  if (!verb.verbs.empty()) return out + ".I VERB\n[\\fIOPTION\\fR]...\n";
  for (const OptionEntry& option : verb.options) {
    if (!option.positional) continue;
    const std::string name = "\\fI" + roff(upper(option.names.front())) + "\\fR";
    out += fmt::format("{}{}{}{}\n", option.required ? "" : "[", name,
                       option.repeatable ? "..." : "", option.required ? "" : "]");
  }
  return out + "[\\fIOPTION\\fR]...\n";
}

std::string option_paragraph(const OptionEntry& option) {
  std::string names;
  for (const std::string& name : option.names)
    names += (names.empty() ? "" : ", ") + ("\\fB" + roff(name) + "\\fR");
  if (option.takes_value) names += " \\fIVALUE\\fR";
  std::string help = option.help;
  if (!option.choices.empty()) {
    help += ". One of:";
    for (const std::string& choice : option.choices) help += " " + choice;
  }
  return fmt::format(".TP\n{}\n{}\n", names, roff(help));
}

std::string options_section(const char* title, const std::vector<OptionEntry>& options) {
  std::string out;
  for (const OptionEntry& option : options) out += option_paragraph(option);
  return out.empty() ? out : fmt::format(".SH {}\n", title) + out;
}

std::string verbs_section(const std::string& path, const VerbEntry& verb) {
  if (verb.verbs.empty()) return "";
  std::string out = ".SH VERBS\n";
  for (const VerbEntry& below : verb.verbs)
    out += fmt::format(".TP\n\\fB{}\\fR\n{}. See \\fB{}\\fR(1).\n", roff(below.name),
                       roff(below.summary), roff(page_title(path + " " + below.name)));
  return out;
}

std::string settings_section() {
  std::string out =
      ".SH SETTINGS\nA flag wins over the environment, the environment over the file, the file "
      "over the\n"
      "default. \\fBquanthost config show\\fR tells what holds and where it came from.\n";
  for (const SettingSpec& spec : setting_specs())
    out += fmt::format(".TP\n\\fB{}\\fR, \\fB{}\\fR\n{}\n", roff(spec.key), roff(spec.variable),
                       roff(spec.help));
  return out +
         ".SH FILES\n.TP\n\\fI$XDG_CONFIG_HOME/quanthost/quanthost.yaml\\fR, "
         "\\fI/etc/quanthost/quanthost.yaml\\fR\nSettings. \\fB\\-\\-config\\fR and "
         "\\fBQUANTHOST_CONFIG\\fR name another file; /dev/null stands for none.\n.TP\n"
         "\\fI$XDG_CONFIG_HOME/quanthost/trust.json\\fR\nWhich plugins may run; see "
         "\\fBquanthost\\-plugins\\-trust\\fR(1).\n.TP\n\\fI$XDG_CACHE_HOME/quanthost/\\fR\n"
         "What was read of plugins, and which of them failed.\n";
}

std::string exit_section() {
  std::string out = ".SH EXIT STATUS\n";
  for (const ExitCodeMeaning& meaning : exit_code_meanings())
    out += fmt::format(".TP\n{}\n{}\n", static_cast<int>(meaning.code), roff(meaning.text));
  return out;
}

std::string examples_section(const VerbEntry& verb) {
  if (verb.examples.empty()) return "";
  std::string out = ".SH EXAMPLES\n.nf\n";
  std::istringstream lines(verb.examples);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t begin = line.find_first_not_of(' ');
    out += roff(begin == line.npos ? line : line.substr(begin)) + "\n";
  }
  return out + ".fi\n";
}

}  // namespace

std::string man_page(const std::string& path, const VerbEntry& verb, const VerbEntry& root) {
  const bool is_root = &verb == &root;
  std::string out = fmt::format(".TH {} 1 \"\" \"quanthost {}\" \"User Commands\"\n",
                                upper(page_title(path)), QUANTHOST_VERSION);
  out += fmt::format(".SH NAME\n{} \\- {}\n", roff(page_title(path)), roff(verb.summary));
  out += ".SH SYNOPSIS\n" + synopsis(path, verb);
  out += verbs_section(path, verb);
  std::vector<OptionEntry> arguments, options;
  for (const OptionEntry& option : verb.options)
    (option.positional ? arguments : options).push_back(option);
  out += options_section("ARGUMENTS", arguments);
  out += options_section(is_root ? "GLOBAL OPTIONS" : "OPTIONS", options);
  out += examples_section(verb);
  if (is_root) return out + settings_section() + exit_section();
  return out +
         ".SH EXIT STATUS\nAs in \\fBquanthost\\fR(1).\n.SH SEE ALSO\n\\fBquanthost\\fR(1), which "
         "has the global options and the settings.\n";
}

}  // namespace quanthost::cli
