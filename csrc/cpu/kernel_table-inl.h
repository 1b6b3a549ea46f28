// All that is compiled once for each instruction set: included by instruction_sets.cpp alone, which
// defines NAMESPACE and WIDTH, the doubles that fit into a register.

namespace NAMESPACE {

#include "simd-inl.h"
#include "dot-inl.h"
#include "row_kernels-inl.h"
#include "cosine_matrix-inl.h"

#define NAME_OF(name) #name
#define NAMED(name) NAME_OF(name)
#define FOR_DTYPES(kernel) \
  { kernel<float>, kernel<double>, kernel<Half>, kernel<BFloat16> }

static const Kernels KERNELS = {
    NAMED(NAMESPACE),
    FOR_DTYPES(row_product),
    FOR_DTYPES(row_product_backward),
    FOR_DTYPES(row_cosine),
    FOR_DTYPES(row_cosine_backward),
    FOR_DTYPES(row_unit),
    FOR_DTYPES(row_unit_backward),
    FOR_DTYPES(scale_products),
};

#undef FOR_DTYPES
#undef NAMED
#undef NAME_OF

}  // namespace NAMESPACE
