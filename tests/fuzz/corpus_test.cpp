// Replays the fuzzer's corpus, whose files cover different paths through the reader.
#include <gtest/gtest.h>

#include <filesystem>

#include "lighthouse/core/file.h"
#include "safetensors_fuzzer.h"

namespace lighthouse {
namespace {

TEST(FuzzCorpus, EverySafetensorsFileIsReadOrRefused) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(LIGHTHOUSE_SOURCE_DIR "/tests/fuzz/corpus/safetensors")) {
    SCOPED_TRACE(entry.path());
    const std::string bytes = read_file(entry.path());
    EXPECT_NO_THROW(read_as_safetensors(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    ++files;
  }
  EXPECT_GE(files, 50);
}

}  // namespace
}  // namespace lighthouse
