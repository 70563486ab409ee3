#include "lighthouse/ops/gpu_sheets.h"

#include <fmt/format.h>

#include <cctype>
#include <string_view>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/core/units.h"

namespace lighthouse {
namespace {

constexpr double kTera = 1e12;

struct Named {
  std::string_view part;  // of the driver's name
  double bfloat16_flops;
};

// Data-center GPUs whose data sheets assume a clock below the driver's highest, or cap the rate. The first match
// counts.
constexpr Named kHopper[] = {{"H200 NVL", 835 * kTera}, {"H200", 989 * kTera}, {"H20", 148 * kTera},
                             {"H100 NVL", 835 * kTera}, {"PCIe", 756 * kTera}, {"", 989 * kTera}};
constexpr Named kBlackwell[] = {{"GB200", 2500 * kTera},
                                {"GB300", 2500 * kTera},
                                {"B200", 2250 * kTera},
                                {"B300", 2250 * kTera},
                                {"B100", 1750 * kTera}};

template <size_t kSize>
double by_name(const Named (&sheets)[kSize], std::string_view name) {
  for (const Named& sheet : sheets) {
    if (name.find(sheet.part) != name.npos) return sheet.bfloat16_flops;
  }
  return 0;
}

/// Of one multiprocessor, in bfloat16 on its tensor cores.
double tensor_flops_per_clock(const GpuTraits& gpu) {
  if (gpu.major == 8 && gpu.minor == 0) return 2048;
  const bool known = (gpu.major == 8 && (gpu.minor == 6 || gpu.minor == 9)) || gpu.major == 12;
  if (!known) return 0;
  // GeForce cards accumulate in float32 at half the rate of the workstation and server cards with the same chip.
  return gpu.name.find("GeForce") != gpu.name.npos ? 512 : 1024;
}

double float32_flops_per_clock(const GpuTraits& gpu) {
  if (gpu.major == 8 && gpu.minor == 0) return 128;
  return (gpu.major >= 8 && gpu.major <= 10) || gpu.major == 12 ? 256 : 0;
}

struct Sheet {
  const char* name;
  GpuTraits traits;
  int64_t mebibytes;  // as nvidia-smi lists them
  double terabytes_per_second;
};

const std::vector<Sheet>& sheets() {
  static const std::vector<Sheet> all{
      {"A100-40GB", {"NVIDIA A100-SXM4-40GB", 8, 0, 108, 1.410e9}, 40960, 1.555},
      {"A100-80GB", {"NVIDIA A100-SXM4-80GB", 8, 0, 108, 1.410e9}, 81920, 2.039},
      {"A30", {"NVIDIA A30", 8, 0, 56, 1.440e9}, 24576, 0.933},
      {"A10", {"NVIDIA A10", 8, 6, 72, 1.695e9}, 23028, 0.600},
      {"A40", {"NVIDIA A40", 8, 6, 84, 1.740e9}, 46068, 0.696},
      {"RTX-A6000", {"NVIDIA RTX A6000", 8, 6, 84, 1.800e9}, 49140, 0.768},
      {"RTX-3090", {"NVIDIA GeForce RTX 3090", 8, 6, 82, 1.695e9}, 24576, 0.936},
      {"L4", {"NVIDIA L4", 8, 9, 58, 2.040e9}, 23034, 0.300},
      {"L40S", {"NVIDIA L40S", 8, 9, 142, 2.520e9}, 46068, 0.864},
      {"RTX-6000-Ada", {"NVIDIA RTX 6000 Ada Generation", 8, 9, 142, 2.505e9}, 49140, 0.960},
      {"RTX-4090", {"NVIDIA GeForce RTX 4090", 8, 9, 128, 2.520e9}, 24564, 1.008},
      {"H100", {"NVIDIA H100 80GB HBM3", 9, 0, 132, 1.980e9}, 81559, 3.35},
      {"H100-PCIe", {"NVIDIA H100 PCIe", 9, 0, 114, 1.755e9}, 81559, 2.0},
      {"H100-NVL", {"NVIDIA H100 NVL", 9, 0, 132, 1.785e9}, 95830, 3.9},
      {"H200", {"NVIDIA H200", 9, 0, 132, 1.980e9}, 143771, 4.8},
      {"H200-NVL", {"NVIDIA H200 NVL", 9, 0, 132, 1.785e9}, 143771, 4.8},
      {"B200", {"NVIDIA B200", 10, 0, 148, 1.965e9}, 183359, 8.0},
      {"RTX-5090", {"NVIDIA GeForce RTX 5090", 12, 0, 170, 2.407e9}, 32607, 1.792},
      {"RTX-PRO-6000", {"NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 12, 0, 188, 2.617e9}, 97887, 1.792},
  };
  return all;
}

std::string without_case_and_blanks(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

}  // namespace

double peak_flops(const GpuTraits& gpu, DType dtype) {
  const double clocks = gpu.multiprocessors * gpu.clock;
  if (dtype == DType::kFloat32) return clocks * float32_flops_per_clock(gpu);
  if (gpu.major == 9) return by_name(kHopper, gpu.name);
  if (gpu.major == 10) return by_name(kBlackwell, gpu.name);
  return clocks * tensor_flops_per_clock(gpu);
}

std::vector<std::string> known_gpus() {
  std::vector<std::string> names;
  for (const Sheet& sheet : sheets()) names.emplace_back(sheet.name);
  return names;
}

Hardware gpu_by_name(const std::string& name, DType dtype) {
  constexpr int64_t kReserved = 1638;  // MiB that the driver and the libraries take
  for (const Sheet& sheet : sheets()) {
    if (without_case_and_blanks(sheet.name) != without_case_and_blanks(name)) continue;
    return {sheet.name, (sheet.mebibytes - kReserved) * kMebibyte, peak_flops(sheet.traits, dtype),
            sheet.terabytes_per_second * kTera};
  }
  throw InputError(
      fmt::format("no GPU {} is known; known GPUs: {} (for another, set hardware.peak_tflops, hardware.memory "
                  "and hardware.bandwidth)",
                  name, join(known_gpus(), ", ")));
}

}  // namespace lighthouse
