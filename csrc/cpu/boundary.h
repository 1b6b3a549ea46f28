// Errors on their way to torch: none leaves this library as a C++ exception.
//
// A wheel's library brings a C++ runtime of its own, and torch's runtime could not catch what that throws. So
// BD_BOX(&function), to be used as TORCH_BOX, catches what the function throws, and torch raises the error. What
// runs in torch's threads may not throw either: see for_ranges in threads.h.

#ifndef BATCHDOT_BOUNDARY_H
#define BATCHDOT_BOUNDARY_H

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>

#include <cstdint>
#include <cstdio>
#include <exception>

namespace batchdot {

using BoxedFunction = void(StableIValue*, uint64_t, uint64_t);

inline __attribute__((noinline)) bool call_and_catch(BoxedFunction* function, StableIValue* stack, uint64_t inputs,
                                                     uint64_t outputs, char (&message)[1024]) noexcept {
  try {
    function(stack, inputs, outputs);
    return true;
  } catch (const std::exception& error) {
    std::snprintf(message, sizeof message, "%s", error.what());
  } catch (...) {
    std::snprintf(message, sizeof message, "batchdot: an error of an unknown kind");
  }
  return false;
}

// Nothing here needs to be destroyed when torch unwinds this frame.
template <BoxedFunction* kFunction>
void boxed(StableIValue* stack, uint64_t inputs, uint64_t outputs) {
  char message[1024];
  if (!call_and_catch(kFunction, stack, inputs, outputs, message))
    aoti_torch_check(false, "batchdot", __FILE__, __LINE__, message);
}

}  // namespace batchdot

#define BD_BOX(function) (&batchdot::boxed<TORCH_BOX(function)>)

#endif  // BATCHDOT_BOUNDARY_H
