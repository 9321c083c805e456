/* Runs eBPF programs on an A64 Linux, interpreted and JITed, under qemu-aarch64: the test bench of test_qemu_user.py.
 *
 * stdin: cases of {u32 slots, u32 memory_size, u8 insns[8 * slots], u8 memory[memory_size]}, until its end.
 * stdout, for each: {u32 jitted, u32 bytes, u32 intact, u32 interp_end, u64 interp_r0, u64 jit_r0, u8 interp_memory[],
 * u8 jit_memory[]}. `intact` says that the callee-saved registers and SP survived the call. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "interp.h"

enum { CODE_SIZE = 1 << 20, FUEL = 1 << 22 };

uint64_t bpf_env_ktime_ns(void)
{
    return 0x123456789abcdef0u;
}

uint32_t bpf_env_prandom_u32(void)
{
    return 0xdeadbeefu;
}

uint32_t bpf_env_cpu(void)
{
    return 3;
}

void bpf_env_trace(const char *text, size_t length)
{
    (void)text, (void)length;
}

/* Calls code(memory, size) with marks in x19 to x28 and garbage in the caller-saved registers; *intact is set to 1 when
 * the marks, x29 and SP are as they were. */
uint64_t call_marked(const void *code, void *memory, uint64_t size, uint32_t *intact);
__asm__(".global call_marked\n"
        "call_marked:\n"
        "  stp x29, x30, [sp, #-112]!\n"
        "  mov x29, sp\n"
        "  stp x19, x20, [sp, #16]\n"
        "  stp x21, x22, [sp, #32]\n"
        "  stp x23, x24, [sp, #48]\n"
        "  stp x25, x26, [sp, #64]\n"
        "  stp x27, x28, [sp, #80]\n"
        "  str x3, [sp, #96]\n"
        "  mov x16, x0\n"
        "  mov x0, x1\n"
        "  mov x1, x2\n"
        "  mov x19, #0x1900\n  mov x20, #0x2000\n  mov x21, #0x2100\n  mov x22, #0x2200\n"
        "  mov x23, #0x2300\n  mov x24, #0x2400\n  mov x25, #0x2500\n  mov x26, #0x2600\n"
        "  mov x27, #0x2700\n  mov x28, sp\n"
        "  mov x2, #-1\n  mov x3, #-1\n  mov x4, #-1\n  mov x5, #-1\n  mov x6, #-1\n  mov x7, #-1\n"
        "  mov x8, #-1\n  mov x9, #-1\n  mov x10, #-1\n  mov x11, #-1\n  mov x12, #-1\n  mov x13, #-1\n"
        "  blr x16\n"
        "  mov x9, sp\n"
        "  cmp x9, x28\n"
        "  ccmp x9, x29, #0, eq\n"
        "  mov x9, #0x1900\n  ccmp x19, x9, #0, eq\n"
        "  mov x9, #0x2000\n  ccmp x20, x9, #0, eq\n"
        "  mov x9, #0x2100\n  ccmp x21, x9, #0, eq\n"
        "  mov x9, #0x2200\n  ccmp x22, x9, #0, eq\n"
        "  mov x9, #0x2300\n  ccmp x23, x9, #0, eq\n"
        "  mov x9, #0x2400\n  ccmp x24, x9, #0, eq\n"
        "  mov x9, #0x2500\n  ccmp x25, x9, #0, eq\n"
        "  mov x9, #0x2600\n  ccmp x26, x9, #0, eq\n"
        "  mov x9, #0x2700\n  ccmp x27, x9, #0, eq\n"
        "  cset w9, eq\n"
        "  mov sp, x29\n"
        "  ldr x3, [sp, #96]\n"
        "  str w9, [x3]\n"
        "  ldp x19, x20, [sp, #16]\n"
        "  ldp x21, x22, [sp, #32]\n"
        "  ldp x23, x24, [sp, #48]\n"
        "  ldp x25, x26, [sp, #64]\n"
        "  ldp x27, x28, [sp, #80]\n"
        "  ldp x29, x30, [sp], #112\n"
        "  ret\n");

static void get(void *to, size_t size)
{
    if (size && fread(to, size, 1, stdin) != 1)
        exit(3);
}

int main(void)
{
    static struct bpf_insn insns[BPF_MAX_SLOTS];
    static uint8_t interpreted[65536], jitted[65536];
    uint8_t *code =
        mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t head[2];

    if (code == MAP_FAILED)
        return 2;
    while (fread(head, sizeof(head), 1, stdin) == 1) {
        struct bpf_prog prog = {
            .insns = insns, .slots = head[0], .hook = BPF_HOOK_TEST, .test_mem_size = head[1]};
        struct bpf_jit_result result;
        struct bpf_run run;
        uint32_t status[4] = {0};
        uint64_t r0[2] = {0};

        if (head[0] > BPF_MAX_SLOTS || head[1] > sizeof(interpreted))
            return 3;
        get(insns, 8 * (size_t)head[0]);
        get(interpreted, head[1]);
        memcpy(jitted, interpreted, head[1]);
        bpf_interp_filled(&prog, interpreted, FUEL, 0, &run);
        status[0] = bpf_jit_arm64(&prog, code, CODE_SIZE, (uint64_t)(uintptr_t)code, NULL, &result);
        status[1] = result.bytes;
        status[3] = run.end;
        r0[0] = run.r0;
        if (status[0]) {
            __builtin___clear_cache((char *)code, (char *)code + result.bytes);
            if (run.end == BPF_RUN_OK)
                r0[1] = call_marked(code, jitted, head[1], &status[2]);
        } else {
            fprintf(stderr, "slot %u: %s\n", result.slot, result.error);
        }
        fwrite(status, sizeof(status), 1, stdout);
        fwrite(r0, sizeof(r0), 1, stdout);
        fwrite(interpreted, 1, head[1], stdout);
        fwrite(jitted, 1, head[1], stdout);
    }
    return 0;
}
