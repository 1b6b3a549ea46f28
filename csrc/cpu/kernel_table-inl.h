// The kernels of one instruction set, in a table.

#include "dispatch.h"
#include "dtypes.h"

#if defined(BATCHDOT_CPU_KERNEL_TABLE_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_KERNEL_TABLE_INL_H_
#undef BATCHDOT_CPU_KERNEL_TABLE_INL_H_
#else
#define BATCHDOT_CPU_KERNEL_TABLE_INL_H_
#endif

#include "cosine_gradients-inl.h"
#include "cosine_matrix-inl.h"
#include "matrix_scores-inl.h"
#include "product_gradients-inl.h"
#include "query_scores-inl.h"
#include "row_cosine-inl.h"
#include "row_product-inl.h"
#include "scan-inl.h"
#include "target-inl.h"

namespace batchdot {
namespace BD_NAMESPACE {

#define BD_FOR_DTYPES(kernel) {kernel<float>, kernel<double>, kernel<Half>, kernel<BFloat16>}

static const Kernels kKernels = {
    BD_NAME,
    BD_FOR_DTYPES(row_product),
    BD_FOR_DTYPES(row_product_backward),
    BD_FOR_DTYPES(row_cosine),
    BD_FOR_DTYPES(row_cosine_backward),
    BD_FOR_DTYPES(row_unit),
    BD_FOR_DTYPES(row_unit_backward),
    BD_FOR_DTYPES(scale_products),
    BD_FOR_DTYPES(query_scores),
    {next_above<float>, next_above<double>, next_above<int64_t>},
    {are_finite<float>, are_finite<double>, are_finite<int64_t>},
    BD_FOR_DTYPES(pack_rows),
    score_panels,
    kGroup,
    kPanel,
};

#undef BD_FOR_DTYPES

}  // namespace BD_NAMESPACE
}  // namespace batchdot

#endif  // BATCHDOT_CPU_KERNEL_TABLE_INL_H_
