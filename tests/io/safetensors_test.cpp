#include "lighthouse/io/safetensors.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>

#include "core/temporary_folder.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

/// A file with the given unpadded header and data.
std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

std::string entry_of(const std::string& dtype, const std::string& shape, int64_t begin, int64_t end) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" + std::to_string(begin) + "," +
         std::to_string(end) + "]}";
}

class SafetensorsTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_ / "a.safetensors"; }

  void write_plain(const std::string& bytes) const { write_file(path(), bytes); }

  std::string refusal(const std::string& bytes) const {
    write_plain(bytes);
    const std::string message = message_of<InputError>([&] { SafetensorsFile file(path()); });
    EXPECT_TRUE(contains(message, path().string()));
    EXPECT_LT(message.size(), 1000);
    return message;
  }

  /// One tensor of each dtype, among them an empty one and a scalar.
  void write_sample() const {
    std::vector<double> values(12);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i) + 0.5;
    void* data = values.data();
    write_safetensors(path(),
                      {{"z", Tensor(data, {3, 4}, DType::kFloat64)},
                       {"a", Tensor(data, {2, 3}, DType::kFloat32)},
                       {"b", Tensor(data, {1, 1, 2, 1, 2}, DType::kBFloat16)},
                       {"scalar", Tensor(data, {}, DType::kInt32)},
                       {"empty", Tensor(nullptr, {0, 5}, DType::kFloat32)},
                       {"long", Tensor(data, {2}, DType::kInt64)},
                       {"bytes", Tensor(data, {3}, DType::kUInt8)}},
                      {{"step", "17"}, {"note", "a \"quoted\"\nline, \xC3\xA9"}});
  }

  TemporaryFolder folder_;
};

TEST_F(SafetensorsTest, RoundTrip) {
  write_sample();
  const SafetensorsFile file(path());
  ASSERT_EQ(file.tensors().size(), 7);
  EXPECT_EQ(file.metadata().at("step"), "17");
  EXPECT_EQ(file.metadata().at("note"), "a \"quoted\"\nline, \xC3\xA9");
  EXPECT_EQ(file.at("z", {3, 4}, DType::kFloat64).data<double>()[11], 11.5);
  EXPECT_EQ(file.at("b").shape(), (Shape{1, 1, 2, 1, 2}));
  EXPECT_EQ(file.at("scalar").numel(), 1);
  EXPECT_EQ(file.at("empty").numel(), 0);
  EXPECT_EQ(file.at("empty").shape(), (Shape{0, 5}));
  EXPECT_TRUE(file.has("bytes"));
  EXPECT_FALSE(file.has("Bytes"));
  for (const auto& [name, tensor] : file.tensors()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw()) % static_cast<uintptr_t>(size_of(tensor.dtype())), 0) << name;
  }
}

TEST_F(SafetensorsTest, KeepsTheGivenOrderAndPadsTheHeader) {
  write_sample();
  const std::string bytes = read_file(path());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  EXPECT_EQ(length % 8, 0);
  const auto header = nlohmann::ordered_json::parse(bytes.substr(8, length));
  std::vector<std::string> names;
  for (const auto& [name, value] : header.items()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"__metadata__", "z", "a", "b", "scalar", "empty", "long", "bytes"}));
  EXPECT_EQ(header["a"]["data_offsets"], nlohmann::ordered_json({96, 120}));
}

TEST_F(SafetensorsTest, WritesTheSameBytesAgain) {
  write_sample();
  const std::string first = read_file(path());
  write_sample();
  EXPECT_EQ(read_file(path()), first);
}

TEST_F(SafetensorsTest, WritesFilesWithoutTensors) {
  write_safetensors(path(), {});
  EXPECT_TRUE(SafetensorsFile(path()).tensors().empty());
}

TEST_F(SafetensorsTest, WritesManyTensors) {
  // Takes minutes if a look-up of names is linear.
  constexpr int kCount = 100'000;
  std::vector<NamedTensor> tensors;
  std::vector<int32_t> values(kCount);
  for (int i = 0; i < kCount; ++i) {
    values[static_cast<size_t>(i)] = i;
    tensors.push_back({"tensor." + std::to_string(i), Tensor(&values[static_cast<size_t>(i)], {1}, DType::kInt32)});
  }
  write_safetensors(path(), tensors);
  const SafetensorsFile file(path());
  ASSERT_EQ(file.tensors().size(), kCount);
  EXPECT_EQ(file.at("tensor.77777").data<int32_t>()[0], 77'777);
}

TEST_F(SafetensorsTest, SurvivesMoving) {
  write_plain(file_of(R"({"a":)" + entry_of("U8", "[1]", 0, 1) + R"(,"b":)" + entry_of("F64", "[2]", 1, 17) + "}", 17));
  SafetensorsFile file(path());
  const SafetensorsFile moved = std::move(file);
  EXPECT_EQ(moved.at("a").data<uint8_t>()[0], 0);
  double expected = 0;
  std::memcpy(&expected, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
  EXPECT_EQ(moved.at("b").data<double>()[0], expected);
}

TEST_F(SafetensorsTest, CopiesMisalignedTensors) {
  // Unpadded headers: all misalignments of the data.
  for (size_t shift = 0; shift < 8; ++shift) {
    write_plain(file_of(R"({"a":)" + entry_of("I64", "[2]", 0, 16) + std::string(shift, ' ') + "}", 16));
    const SafetensorsFile file(path());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(file.at("a").raw()) % 8, 0);
    EXPECT_EQ(file.at("a").data<int64_t>()[1], 0x0f0e0d0c0b0a0908);
  }
}

TEST_F(SafetensorsTest, NamesMissingAndDifferentTensors) {
  write_sample();
  const SafetensorsFile file(path());
  const std::string missing = message_of<InputError>([&] { (void)file.at("scala"); });
  EXPECT_TRUE(contains(missing, "has no tensor scala; it has scalar"));
  EXPECT_TRUE(contains(missing, path().string()));
  const std::string different = message_of<InputError>([&] { (void)file.at("a", {3, 2}, DType::kFloat32); });
  EXPECT_TRUE(contains(different, "a is float32 [2, 3]; expected float32 [3, 2]"));
  EXPECT_THROW((void)file.at("a", {2, 3}, DType::kInt32), InputError);
}

TEST_F(SafetensorsTest, RefusesToWriteInvalidFiles) {
  float values[4] = {};
  const Tensor tensor(values, {2, 2}, DType::kFloat32);
  EXPECT_THROW(write_safetensors(path(), {{"a", tensor}, {"a", tensor}}), std::logic_error);
  EXPECT_THROW(write_safetensors(path(), {{"__metadata__", tensor}}), std::logic_error);
  EXPECT_THROW(write_safetensors(path(), {{"a", tensor.transpose(0, 1)}}), std::logic_error);
  EXPECT_THROW(write_safetensors(path(), {{"a", Tensor(nullptr, {1}, DType::kFloat32)}}), std::logic_error);
  EXPECT_THROW(write_safetensors(path(), {{"a\xFF", tensor}}), InputError);
  EXPECT_THROW(write_safetensors(folder_ / "none/a", {{"a", tensor}}), InputError);
  EXPECT_TRUE(folder_.names().empty());
}

struct Damage {
  const char* what;
  std::string bytes;
  const char* message;
};

/// A header with the single tensor "a", on 16 bytes of data.
std::string alone(const std::string& entry) {
  return file_of(R"({"a":)" + entry + "}", 16);
}

std::string with_length(uint64_t length) {
  std::string file = file_of("{}", 16);
  std::memcpy(file.data(), &length, sizeof(length));
  return file;
}

TEST_F(SafetensorsTest, RefusesDamagedFiles) {
  const std::string good = entry_of("F32", "[4]", 0, 16);
  const std::string half = entry_of("F32", "[2]", 0, 8);
  const std::vector<Damage> cases{
      {"empty file", "", "it has 0 bytes"},
      {"seven bytes", std::string(7, 'x'), "it has 7 bytes"},
      {"text", "once upon a time there was a file", "first 8 bytes"},
      {"header beyond the end", with_length(19), "header of 19 bytes"},
      {"absurd length", with_length(~uint64_t{0}), "header of 18446744073709551615 bytes"},
      {"empty header", file_of("", 0), "not JSON"},
      {"broken JSON", file_of(R"({"a":)", 16), "not JSON"},
      {"bytes that are no UTF-8", file_of("{\"a\xFF\":1}", 16), "not JSON"},
      {"array", file_of("[]", 0), "not a JSON object"},
      {"number", file_of("17", 0), "not a JSON object"},
      {"two documents", file_of("{}{}", 0), "not JSON"},
      {"deep arrays", file_of(std::string(1'000'000, '['), 0), "nested too deeply"},
      {"deep objects", file_of(R"({"__metadata__":{"a":{"b":{"c":{}}}}})", 0), "nested too deeply"},
      {"metadata is a list", file_of(R"({"__metadata__":[]})", 0), "__metadata__ is not an object"},
      {"metadata of numbers", file_of(R"({"__metadata__":{"step":1}})", 0), "step is not a string"},
      {"entry is a number", alone("1"), "not an object"},
      {"no dtype", alone(R"({"shape":[4],"data_offsets":[0,16]})"), "has no dtype"},
      {"no shape", alone(R"({"dtype":"F32","data_offsets":[0,16]})"), "has no shape"},
      {"no offsets", alone(R"({"dtype":"F32","shape":[4]})"), "has no data_offsets"},
      {"unknown dtype", alone(entry_of("I16", "[8]", 0, 16)), "F32, F64, BF16, F16, I32, I64, U8"},
      {"dtype is a number", alone(R"({"dtype":1,"shape":[4],"data_offsets":[0,16]})"), "has the dtype 1"},
      {"shape is a number", alone(entry_of("F32", "4", 0, 16)), "shape of a is 4"},
      {"shape of strings", alone(entry_of("F32", R"(["4"])", 0, 16)), "not a valid shape"},
      {"negative extent", alone(entry_of("F32", "[-4]", 0, 16)), "not a valid shape"},
      {"two negative extents", alone(entry_of("F32", "[-2,-2]", 0, 16)), "not a valid shape"},
      {"extent with a fraction", alone(entry_of("F32", "[4.0]", 0, 16)), "not a valid shape"},
      {"extent beyond 64 bits", alone(entry_of("F32", "[18446744073709551617]", 0, 16)), "not a valid shape"},
      {"extent beyond 63 bits", alone(entry_of("F32", "[18446744073709551615]", 0, 16)), "not a valid shape"},
      {"product beyond 64 bits", alone(entry_of("F32", "[4294967296,4294967300]", 0, 16)), "not a valid shape"},
      {"strides beyond 64 bits", alone(entry_of("F32", "[0,4294967296,4294967296]", 0, 0)), "not a valid shape"},
      {"six dimensions", alone(entry_of("F32", "[1,1,1,1,1,4]", 0, 16)), "at most 5 extents"},
      {"another size than the offsets'", alone(entry_of("F32", "[3]", 0, 16)), "takes 12 bytes"},
      {"offsets outside", alone(entry_of("F32", "[5]", 0, 20)), "truncated"},
      {"offsets reversed", alone(entry_of("F32", "[4]", 16, 0)), "16 to 0"},
      {"negative offsets", alone(entry_of("F32", "[4]", -16, 0)), "two byte offsets"},
      {"one offset", alone(R"({"dtype":"F32","shape":[4],"data_offsets":[0]})"), "two byte offsets"},
      {"hole before", alone(entry_of("F32", "[2]", 8, 16)), "do not belong to any tensor"},
      {"bytes left over", alone(half), "last 8 bytes"},
      {"overlap", file_of(R"({"a":)" + good + R"(,"b":)" + half + "}", 16), "overlaps"},
      {"same bytes twice", file_of(R"({"a":)" + good + R"(,"b":)" + good + "}", 16), "overlaps"},
      {"same name twice", file_of(R"({"a":)" + half + R"(,"a":)" + entry_of("F32", "[2]", 8, 16) + "}", 16),
       "the name a twice"},
      {"same key twice", alone(R"({"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]})"),
       "the name dtype twice"},
      {"a long name", file_of("{\"" + std::string(5000, 'n') + "\":1}", 16), "nnn..."},
  };
  for (const Damage& damage : cases) {
    SCOPED_TRACE(damage.what);
    EXPECT_TRUE(contains(refusal(damage.bytes), damage.message));
  }
}

/// Opens a possibly damaged file and reads every byte of its tensors.
bool opens(const std::filesystem::path& path) {
  try {
    const SafetensorsFile file(path);
    uint64_t sum = 0;
    for (const auto& [name, tensor] : file.tensors()) {
      const auto* bytes = static_cast<const uint8_t*>(tensor.raw());
      for (int64_t i = 0; i < tensor.bytes(); ++i) sum += bytes[i];
    }
    return sum != 1;
  } catch (const InputError&) {
    return false;
  }
}

TEST_F(SafetensorsTest, DamageIsReadOrRefused) {
  write_sample();
  const std::string sound = read_file(path());
  uint64_t header = 0;
  std::memcpy(&header, sound.data(), sizeof(header));
  std::mt19937_64 random(42);
  const auto below = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  const int memory = memfd_create("damaged", MFD_CLOEXEC);  // in memory, so that thousands of files take a second
  ASSERT_GE(memory, 0);
  const std::filesystem::path damaged = "/proc/self/fd/" + std::to_string(memory);
  const auto write = [&](const std::string& bytes) {
    ASSERT_EQ(ftruncate(memory, std::ssize(bytes)), 0);
    ASSERT_EQ(pwrite(memory, bytes.data(), bytes.size(), 0), std::ssize(bytes));
  };
  int refused = 0;
  for (int i = 0; i < 6000; ++i) {
    std::string bytes = sound;
    if (i % 4 == 0) {
      bytes.resize(below(sound.size()));
    } else {
      for (size_t flips = 1 + below(4); flips > 0; --flips) {
        bytes[below(8 + header)] ^= static_cast<char>(1 << below(8));
      }
    }
    if (i % 4 == 3) bytes.erase(8 + below(header), 1 + below(10));
    write(bytes);
    refused += !opens(damaged);
  }
  EXPECT_GT(refused, 4000);  // other damage, such as in a tensor's name, is valid
  for (size_t length = 0; length < sound.size(); ++length) {
    write(sound.substr(0, length));
    EXPECT_FALSE(opens(damaged)) << length;
  }
  close(memory);
}

}  // namespace
}  // namespace lighthouse
