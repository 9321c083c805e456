*** Settings ***
Documentation     The board runs only the kernel that was built from these sources, and images made for tests do not
...               work on the shipped kernel.
Resource          lab.resource
Suite Setup       Lease Board
Suite Teardown    Give Board Back
Test Tags         identity

*** Test Cases ***
The Shipped Kernel Is The One That Was Built
    [Tags]    smoke
    Flash Kernel    release
    Kernel Should Be The One That Was Built

The Testing Kernel Is The One That Was Built
    Flash Kernel    testing
    Kernel Should Be The One That Was Built

The Shipped Kernel Refuses What Is Meant For Testing
    Flash Kernel    release
    Offer Extension That    is meant for testing kernels
    Extension Should Be Refused    by=unseal    because=release kernel
    Kernel Should Still Answer

The Shipped Kernel Is Still The One That Was Built After It Adapted
    Flash Kernel    release
    Observe Traffic    flood
    Adapt
    Extension Should Be Committed
    Kernel Should Be The One That Was Built
