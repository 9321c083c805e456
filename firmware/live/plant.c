/* The planted prologue, and programs that skip the verifier. */
#include "live/plant.h"

#ifdef ASSAY_TESTING

#include <string.h>

#define UNVERIFIED_WCET 10000u /* eBPF instructions */

#define MOVZ_X9(imm, lsl16) (0xd2800009u | ((uint32_t)(lsl16) << 21) | ((uint32_t)(imm) << 5))
#define MOVK_X9(imm, lsl16) (0xf2800009u | ((uint32_t)(lsl16) << 21) | ((uint32_t)(imm) << 5))

void plant_write(uint8_t *code, const struct program *program)
{
    uint64_t counter = (uint64_t)(uintptr_t)&program->calls_left;
    bool fault = (program->extension->flags & ASSAY_IMAGE_FLAG_PLANT_FAULT) != 0;
    uint32_t words[PLANT_BYTES / 4] = {
        MOVZ_X9(counter & 0xffff, 0),
        MOVK_X9((counter >> 16) & 0xffff, 1),
        MOVK_X9((counter >> 32) & 0xffff, 2),
        MOVK_X9(counter >> 48, 3),
        0xf940012au,                        /* ldr x10, [x9] */
        0xb400008au,                        /* cbz x10, the defect */
        0xd100054au,                        /* sub x10, x10, #1 */
        0xf900012au,                        /* str x10, [x9] */
        0x14000008u,                        /* b the program */
        MOVZ_X9(0x10, 0),                   /* the defect: x9 = 0x10, in TTBR0's empty half */
        fault ? 0xf9400129u : 0x14000000u,  /* ldr x9, [x9], or b itself */
        0xd503201fu,
        0xd503201fu,
        0xd503201fu,
        0xd503201fu,
        0xd503201fu, /* nop */
    };
    memcpy(code, words, sizeof(words));
}

void plant_accept_unverified(struct bpf_prog *bpf)
{
    memset(bpf->slot_flags, BPF_SLOT_REACHED, bpf->slots);
    bpf->wcet = UNVERIFIED_WCET;
    bpf->subprog_count = 1;
    bpf->subprog_start[0] = 0;
    bpf->subprog_stack[0] = BPF_STACK_SIZE;
    bpf->stack_bytes = BPF_STACK_SIZE;
}

#endif
