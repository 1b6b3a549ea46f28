// Whether an operator may use several threads.
#pragma once

namespace batchdot {

// Whether calls from this thread use no other threads, because it is one of several that run operators in parallel.
extern thread_local bool single_threaded;

}  // namespace batchdot
