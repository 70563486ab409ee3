#include "lighthouse/ops/operation.h"

#include <stdexcept>
#include <string>

namespace lighthouse {
namespace {

int64_t bytes_of(const std::vector<Tensor>& tensors) {
  int64_t bytes = 0;
  for (const Tensor& tensor : tensors) bytes += tensor.bytes();
  return bytes;
}

}  // namespace

double Operation::bytes() const {
  return static_cast<double>(bytes_of(writes) + bytes_of(reads) + 2 * bytes_of(updates));
}

OperationObserver* OperationSet::set_observer(OperationObserver* observer) {
  observed_thread_ = std::this_thread::get_id();
  return observer_.exchange(observer);
}

void OperationSet::not_implemented(const char* function) {
  throw std::logic_error(std::string("this backend does not implement ") + function);
}

void OperationSet::observe(const Stream& stream, const Operation& operation, const std::function<void()>& work) {
  OperationObserver* const observer = observer_.exchange(nullptr);
  try {
    observer->observe(stream, operation, work);
  } catch (...) {
    observer_ = observer;
    throw;
  }
  observer_ = observer;
}

}  // namespace lighthouse
