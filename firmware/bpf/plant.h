/* A verifier slowed down on purpose (`extra_defines` of harness/kernel/build.py), to show that a comparison detects it. */
#ifndef ASSAY_BPF_PLANT_H
#define ASSAY_BPF_PLANT_H

#ifdef ASSAY_PLANT_SLOW_VERIFIER /* how many idle instructions go with each one walked */
#define PLANT_TEXT(number)    #number
#define PLANT_IDLE(number)    __asm__ volatile(".rept " PLANT_TEXT(number) "\n\tnop\n\t.endr")
#define PLANT_SLOW_VERIFIER() PLANT_IDLE(ASSAY_PLANT_SLOW_VERIFIER)
#else
#define PLANT_SLOW_VERIFIER() ((void)0)
#endif

#endif
