// Detection of files that are not plain text.
#pragma once

#include <cstdint>
#include <filesystem>

namespace lighthouse {

/// The offset of a file's text: after a UTF-8 byte order mark, else 0. Throws InputError if the file cannot be read, or
/// if its first bytes or its name show that it is not plain text in UTF-8 or another superset of ASCII: compressed
/// files, Parquet, JSON lines, databases, token shards, UTF-16 and so on. The message names a tool that reads the file.
int64_t begin_of_text(const std::filesystem::path& path);

}  // namespace lighthouse
