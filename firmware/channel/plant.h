/* Faults built into a kernel on purpose (`extra_defines` of harness/kernel/build.py). Without such a define: no code. */
#ifndef ASSAY_CHANNEL_PLANT_H
#define ASSAY_CHANNEL_PLANT_H

#include "arch/arm64/cpu.h"

/* Hangs for ever with every interrupt masked: only a debugger can tell where. */
static inline __attribute__((always_inline)) _Noreturn void stand_still(void)
{
    irq_disable();
    for (;;)
        __asm__ volatile("nop");
}

#ifdef ASSAY_PLANT_SILENCE /* boots, and never says so */
#define PLANT_SILENCE() stand_still()
#else
#define PLANT_SILENCE() ((void)0)
#endif

#ifdef ASSAY_PLANT_HANG /* answers everything but ECHO */
#define PLANT_HANG() stand_still()
#else
#define PLANT_HANG() ((void)0)
#endif

#endif
