// For functions in headers that CPU kernels include: they are compiled once per instruction set, and a copy that the
// linker kept could be the AVX-512 one on a machine without AVX-512.
#pragma once

#define LOWRANK_INLINE static inline __attribute__((always_inline))
