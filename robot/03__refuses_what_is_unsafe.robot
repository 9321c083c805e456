*** Settings ***
Documentation     The kernel accepts an extension only if this lab signed it, it arrives unaltered, and it can do no
...               harm. The kernel says why it refuses an extension, and continues to work.
Resource          lab.resource
Suite Setup       Lease Board
Test Setup        Flash Kernel    release
Test Teardown     The Kernel Is Unharmed
Suite Teardown    Give Board Back
Test Tags         safety

*** Test Cases ***
A Sound Extension Is Accepted
    Offer Extension That    is sound
    Extension Should Be Accepted

An Extension Altered After Signing Is Refused
    [Tags]    smoke
    Offer Extension That    was altered after signing
    Extension Should Be Refused    by=unseal    because=signature

An Unsigned Extension Is Refused
    Offer Extension That    is unsigned
    Extension Should Be Refused    by=unseal    because=signature

An Extension Signed By A Stranger Is Refused
    Offer Extension That    was signed by a stranger
    Extension Should Be Refused    by=unseal    because=signature

An Extension That Was Cut Short Is Refused
    Offer Extension That    is cut short
    Extension Should Be Refused    by=unseal    because=image size

An Extension That Reads Wild Memory Is Refused
    [Tags]    smoke
    Offer Extension That    reads wild memory
    Extension Should Be Refused    by=verify    because=slot 2

An Extension That Never Ends Is Refused
    Offer Extension That    never ends
    Extension Should Be Refused    by=verify

*** Keywords ***
The Kernel Is Unharmed
    Nothing Should Be Deployed
    Kernel Should Still Answer
