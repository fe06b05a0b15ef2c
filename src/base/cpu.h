/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * ISA-L's AVX-512 code (2.30) returns with the upper halves of the vector registers in use, and from then on every SSE
 * instruction of ours waits for the one before (Intel's optimization manual, "AVX-SSE transition penalties"): encoding
 * ran at a quarter of its speed. Call this behind every call of it.
 */
#ifdef __x86_64__
__attribute__((target("avx"))) static inline void fl_clear_upper_halves_(void)
{
	__builtin_ia32_vzeroupper();
}
#endif
static inline void fl_clear_upper_halves(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx"))
		fl_clear_upper_halves_();
#endif
}
