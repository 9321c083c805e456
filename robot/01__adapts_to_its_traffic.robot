*** Settings ***
Documentation     The board observes its own traffic; a small model writes an extension for it; the running kernel
...               checks and deploys the extension, and every step is within its budget.
Resource          lab.resource
Suite Setup       Lease A Board And Warm Up
Test Setup        Flash Kernel    release
Suite Teardown    Give Board Back
Test Tags         loop

*** Test Cases ***
A Flood Is Seen And Answered While The Kernel Runs
    [Tags]    smoke
    Observe Traffic    flood
    Adapt
    Extension Should Be Committed
    Budget Should Hold    verify
    Budget Should Hold    jit
    Budget Should Hold    deploy
    Budget Should Hold    execute
    Budget Should Hold    rollback
    Kernel Should Still Answer

The Board Adapts To Floods
    The Board Adapts To    flood

The Board Adapts To Port Scans
    The Board Adapts To    portscan

The Board Adapts To Hot Ports
    The Board Adapts To    hotport

The Board Adapts To Slow Packets
    The Board Adapts To    latency

Every Stage Kept Its Budget
    [Documentation]    Over every situation above: generating, verifying, compiling, swapping, running, rolling back.
    [Tags]    budgets
    Every Budget Should Hold

*** Keywords ***
Lease A Board And Warm Up
    Lease Board
    Flash Kernel    release
    Warm Up

The Board Adapts To
    [Documentation]    Five situations of a family with different hosts, ports, rates and operator policy.
    [Arguments]    ${family}
    Adapt To Situations    5    ${family}
    Budget Should Hold    unadapted
    Budget Should Hold    execute
    Kernel Should Still Answer
