// Runs the built quanthost command with an environment of its own, away from the user's files.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "host/base/json.hpp"
#include "tests/folders.hpp"

namespace quanthost::test {

namespace fs = std::filesystem;

// A directory that goes with the test, below one that nobody else can write.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "quanthost-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
    path_ = fs::canonical(name);
  }
  ~TemporaryDirectory() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Outcome {
  int code = -1;  // 128 + signal when it was ended by one
  std::string out, err;
  Json json() const { return Json::parse(out); }
};

// The shell is given only paths and words of the tests themselves.
class Command {
 public:
  Command() { fs::create_directories(plugins()); }

  fs::path home() const { return directory_.path() / "home"; }
  fs::path plugins() const { return directory_.path() / "plugins"; }
  const fs::path& directory() const { return directory_.path(); }
  std::map<std::string, std::string> environment;

  // Finds plugins in plugins() alone.
  Outcome run(const std::string& arguments) const {
    const fs::path out = directory_.path() / "out", err = directory_.path() / "err";
    std::string line = "env -u QUANTHOST_LOG HOME='" + home().string() +
                       "' XDG_CACHE_HOME= XDG_DATA_HOME= XDG_CONFIG_HOME= "
                       "QUANTHOST_PLUGIN_SYSTEM_PATH=/nonexistent QUANTHOST_PLUGIN_PATH='" +
                       plugins().string() + "'";
    for (const auto& [name, value] : environment) line += " " + name + "='" + value + "'";
    line += " " + build_folder() + "/bin/quanthost " + arguments + " >'" + out.string() + "' 2>'" +
            err.string() + "'";
    const int status = std::system(line.c_str());
    Outcome outcome;
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    outcome.out = read(out);
    outcome.err = read(err);
    return outcome;
  }

  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  TemporaryDirectory directory_;
};

}  // namespace quanthost::test
