#include "lighthouse/core/path.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

InputError refuse(const std::string& path, const std::string& why) {
  return InputError(fmt::format("path \"{}\": {}", path, why));
}

/// The home folder of `user`, or of the current user for "".
std::string home_of(const std::string& path, const std::string& user) {
  if (user.empty()) {
    if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home;
  }
  const passwd* entry = user.empty() ? getpwuid(getuid()) : getpwnam(user.c_str());
  if (entry != nullptr && entry->pw_dir != nullptr && *entry->pw_dir != '\0') return entry->pw_dir;
  throw refuse(
      path,
      user.empty()
          ? std::string("HOME is not set; write the full path instead of \"~\"")
          : fmt::format("user \"{}\" of \"~{}\" does not exist; write the full path, or ./~{} for a file of that name",
                        user, user, user));
}

std::string expand_tilde(const std::string& path) {
  if (!path.starts_with('~')) return path;
  const size_t end = std::min(path.find('/'), path.size());
  return home_of(path, path.substr(1, end - 1)) + path.substr(end);
}

bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// The name of the variable after the "$" at `dollar`. Sets `end` to the position after the variable.
std::string variable_at(const std::string& path, size_t dollar, size_t& end) {
  const bool braces = path.compare(dollar + 1, 1, "{") == 0;
  const size_t begin = dollar + (braces ? 2 : 1);
  end = begin;
  while (end < path.size() && in_name(path[end])) ++end;
  std::string name = path.substr(begin, end - begin);
  const bool closed = !braces || path.compare(end, 1, "}") == 0;
  if (name.empty() || !closed || std::isdigit(static_cast<unsigned char>(name[0])) != 0) {
    throw refuse(path, "\"$\" must start a variable, $NAME or ${NAME}; file names with \"$\" are not supported");
  }
  end += braces ? 1 : 0;
  return name;
}

std::string expand_variables(const std::string& path) {
  std::string expanded;
  size_t done = 0;
  for (size_t dollar = path.find('$'); dollar != std::string::npos; dollar = path.find('$', done)) {
    expanded += path.substr(done, dollar - done);
    const std::string name = variable_at(path, dollar, done);
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') {
      throw refuse(path, fmt::format("the variable {} is not set; set it or write the full path", name));
    }
    if (std::string_view(value).find('$') != std::string_view::npos || value[0] == '~') {
      throw refuse(path, fmt::format("the variable {} is \"{}\", which needs expansion itself; set it to a full path",
                                     name, value));
    }
    expanded += value;
  }
  return expanded + path.substr(done);
}

}  // namespace

std::string expand_path(const std::string& path) {
  std::string expanded = expand_variables(expand_tilde(path));
  for (const auto& part : std::filesystem::path(expanded)) {
    if (part == "~") throw refuse(path, "\"~\" is expanded only at the start of a path; write the full path");
  }
  return expanded;
}

}  // namespace lighthouse
