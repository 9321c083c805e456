/*
 * The kernel's virtual address space: the same on every board.
 *
 * Everything sits in the first GiB above KERNEL_VA (TTBR1, 48-bit, 4 KiB pages), so any two kernel addresses are
 * within 4 GiB of each other (adrp reaches) and JIT code is within 128 MiB of text (bl reaches). Gaps between
 * regions are unmapped. The image runs wherever a loader put it (4 KiB aligned); the pools follow it in RAM,
 * from the next 2 MiB boundary behind IMAGE_SIZE, in the order of the *_OFFSET constants below.
 */
#ifndef ASSAY_ARCH_MEMLAYOUT_H
#define ASSAY_ARCH_MEMLAYOUT_H

#ifdef __ASSEMBLER__
#define U64(x) x
#else
#define U64(x) x##ull
#endif

#define PAGE_SIZE  U64(0x1000)
#define BLOCK_SIZE U64(0x200000)

#define KERNEL_VA U64(0xffff800000000000)

/* Regions: where they begin, and how large they are. */
#define IMAGE_VA        (KERNEL_VA + U64(0x00000000))
#define IMAGE_SIZE      U64(0x00200000) /* text RX, rodata R, data and bss RW */
#define JIT_VA          (KERNEL_VA + U64(0x01000000))
#define JIT_SIZE        U64(0x00200000) /* 2 MiB, RX */
#define JIT_ALIAS_VA    (KERNEL_VA + U64(0x02000000)) /* RW window on the same pages, mapped on demand */
#define STACKS_VA       (KERNEL_VA + U64(0x03000000))
#define STACKS_SIZE     U64(0x00200000) /* RW, an unmapped guard page under every stack */
#define BLOB_POOL_VA    (KERNEL_VA + U64(0x04000000))
#define BLOB_POOL_SIZE  U64(0x00200000) /* 2 MiB, uploaded extension images */
#define MAP_POOL_VA     (KERNEL_VA + U64(0x05000000))
#define MAP_POOL_SIZE   U64(0x00400000) /* 4 MiB, eBPF map values and keys */
#define ARENA_VA        (KERNEL_VA + U64(0x06000000))
#define ARENA_SIZE      U64(0x01000000) /* 16 MiB, verifier and JIT working memory */
#define TRACE_POOL_VA   (KERNEL_VA + U64(0x08000000))
#define TRACE_POOL_SIZE U64(0x00800000) /* 8 MiB, uploaded workload traces */
#define DEVICES_VA      (KERNEL_VA + U64(0x10000000)) /* RW, Device-nGnRE, 4 KiB pages */

/* Physical offsets of the pools from the first of them. */
#define STACKS_OFFSET U64(0x00000000)
#define JIT_OFFSET    U64(0x00200000)
#define BLOB_OFFSET   U64(0x00400000)
#define MAP_OFFSET    U64(0x00600000)
#define ARENA_OFFSET  U64(0x00a00000)
#define TRACE_OFFSET  U64(0x01a00000)
#define POOLS_SIZE    U64(0x02200000) /* 34 MiB of RAM after the image */

/* Stacks of core n start at STACKS_VA + n * STACK_STRIDE: guard, kernel, guard, exception, guard, emergency. */
#define STACK_STRIDE         U64(0x00020000)
#define KERNEL_STACK_SIZE    U64(0x8000)
#define EXCEPTION_STACK_SIZE U64(0x4000)
#define EMERGENCY_STACK_SIZE U64(0x2000)
#define KERNEL_STACK_BASE    PAGE_SIZE
#define EXCEPTION_STACK_BASE (KERNEL_STACK_BASE + KERNEL_STACK_SIZE + PAGE_SIZE)
#define EMERGENCY_STACK_BASE (EXCEPTION_STACK_BASE + EXCEPTION_STACK_SIZE + PAGE_SIZE)

#endif
