// `quanthost completion SHELL`: the script that completes verbs, options and their values.
#include <memory>

#include "host/cli/completion_scripts.hpp"
#include "host/cli/full_table.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

int completion(Session& session, const std::string& shell, const VerbEntry& program) {
  const VerbEntry table = full_table(program);
  const std::string script = shell == "bash"  ? bash_completion(table)
                             : shell == "zsh" ? zsh_completion(table)
                                              : fish_completion(table);
  if (session.json()) {
    session.print_json("completion", {{"shell", shell}, {"script", script}});
  } else {
    std::fwrite(script.data(), 1, script.size(), stdout);
  }
  return 0;
}

}  // namespace

void add_completion(Verb parent, Session& session, std::function<VerbEntry()> table) {
  auto shell = std::make_shared<std::string>();
  parent
      .verb("completion", "A script that completes this command in bash, zsh or fish",
            "  quanthost completion bash > ~/.local/share/bash-completion/completions/quanthost\n"
            "  quanthost completion zsh > ~/.zfunc/_quanthost\n"
            "  quanthost completion fish > ~/.config/fish/completions/quanthost.fish")
      .group("This machine")
      .choice_argument("shell", *shell, {"bash", "zsh", "fish"}, "bash, zsh or fish")
      .run([&session, shell, table = std::move(table)] {
        return completion(session, *shell, table());
      });
}

}  // namespace quanthost::cli
