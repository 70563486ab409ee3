// Which files are plain text.
#pragma once

#include <cstdint>
#include <filesystem>

namespace lighthouse {

/// Where a file's text begins: behind a UTF-8 byte order mark if there is one, else at 0. Throws InputError if the file
/// cannot be read, and, naming what reads it, if it is not plain text in UTF-8 or another superset of ASCII by its
/// first bytes or by its name: compressed files, Parquet, JSON lines, databases, token shards, UTF-16 and so on.
int64_t begin_of_text(const std::filesystem::path& path);

}  // namespace lighthouse
