/* SPDX-License-Identifier: Apache-2.0
 *
 * Which table of kernels is in force: the best that this build has and this CPU runs, unless
 * SLUICE_KERNELS or sl_kernels_select names another. The choice is one atomic pointer, made at the
 * first use; making it twice at once gives the same answer.
 *
 * Threads: any.
 */
#include "kernels_matmul.h"

#include "sluice/log.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1ul << 20)
#endif
#ifndef HWCAP2_I8MM
#define HWCAP2_I8MM (1ul << 13)
#endif
#endif

#define TABLES_MAX 6

static _Atomic(const struct sl_kernels *) in_force;

#if defined(__x86_64__)
/* Conversion of halves; not among the names of __builtin_cpu_supports for Clang 14. The system's
 * side of it is that of AVX, which the caller asks for as well. */
static bool has_f16c(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

/* Likewise: leaf 7, part 1, bit 4 of eax. */
static bool has_avx_vnni(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1u << 4) != 0;
}
#endif

static bool cpu_runs(const struct sl_kernels *kernels)
{
#if defined(__x86_64__)
    const bool has_avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (kernels == &sl_kernels_avx2)
        return has_avx2;
    if (kernels == &sl_kernels_avxvnni)
        return has_avx2 && has_avx_vnni();
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                            __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vnni");
    if (kernels == &sl_kernels_avx512)
        return has_avx512;
    if (kernels == &sl_kernels_avx512bf16)
        return has_avx512 && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
    if (kernels == &sl_kernels_neon)
        return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    if (kernels == &sl_kernels_i8mm)
        return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 &&
               (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#endif
    return kernels == &sl_kernels_ref;
}

/* Everything in this build, the slowest first. */
static const struct sl_kernels *const built[] = {
    &sl_kernels_ref,
#if defined(__x86_64__)
    &sl_kernels_avx2,
    &sl_kernels_avxvnni,
    &sl_kernels_avx512,
    &sl_kernels_avx512bf16,
#elif defined(__aarch64__)
    &sl_kernels_neon,
    &sl_kernels_i8mm,
#endif
};
#define BUILT_COUNT (sizeof built / sizeof built[0])

const struct sl_kernels *const *sl_kernels_available(void)
{
    static _Thread_local const struct sl_kernels *list[TABLES_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < BUILT_COUNT; i++)
        if (cpu_runs(built[i]))
            list[count++] = built[i];
    list[count] = NULL;
    return list;
}

static const struct sl_kernels *best(void)
{
    const struct sl_kernels *found = &sl_kernels_ref;
    for (size_t i = 0; i < BUILT_COUNT; i++)
        if (cpu_runs(built[i]))
            found = built[i];
    return found;
}

static enum sl_err find(const char *name, const struct sl_kernels **out, struct sl_error *error)
{
    static const char *const known[] = {"ref",    "avx2",       "avxvnni",
                                        "avx512", "avx512bf16", "neon",
                                        "i8mm"};
    for (size_t i = 0; i < BUILT_COUNT; i++)
        if (strcmp(built[i]->name, name) == 0 && cpu_runs(built[i])) {
            *out = built[i];
            return SL_OK;
        }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i], name) == 0)
            return sl_error_set(error, SL_ERR_UNSUPPORTED, "kernels \"%s\": not on this CPU", name);
    return sl_error_set(error, SL_ERR_INVALID,
                        "kernels \"%.32s\": expected ref, avx2, avxvnni, avx512, avx512bf16, neon or "
                        "i8mm",
                        name);
}

enum sl_err sl_kernels_select(const char *name, struct sl_error *error)
{
    const struct sl_kernels *chosen = NULL; /* the next use chooses */
    const enum sl_err err = name != NULL ? find(name, &chosen, error) : SL_OK;
    if (err == SL_OK)
        atomic_store_explicit(&in_force, chosen, memory_order_release);
    return err;
}

const struct sl_kernels *sl_kernels(void)
{
    const struct sl_kernels *kernels = atomic_load_explicit(&in_force, memory_order_acquire);
    if (kernels != NULL)
        return kernels;
    const char *wanted = getenv("SLUICE_KERNELS");
    struct sl_error error = {0};
    kernels = best();
    if (wanted != NULL && wanted[0] != '\0' && find(wanted, &kernels, &error) != SL_OK)
        SL_LOG_WARN("engine", "SLUICE_KERNELS: %s; using %s", error.message, kernels->name);
    atomic_store_explicit(&in_force, kernels, memory_order_release);
    return kernels;
}
