*** Settings ***
Documentation     The kernel itself rolls back an extension that fails on the running kernel, in time, and the board
...               continues to work.
Resource          lab.resource
Suite Setup       Lease Board
Test Setup        Flash Kernel    testing
Suite Teardown    Give Board Back
Test Tags         rollback

*** Test Cases ***
An Extension That Faults Is Rolled Back
    [Tags]    smoke
    Deploy Extension That     faults
    Rollback Should Happen    within=100 ms
    Kernel Should Still Answer

An Extension That Does Not End Is Rolled Back
    Deploy Extension That     overruns
    Rollback Should Happen    within=100 ms
    Kernel Should Still Answer

Rolling Back Is Within Its Budget Each Time
    [Tags]    budgets
    Deploy Extension That     faults
    Rollback Should Happen
    Deploy Extension That     overruns
    Rollback Should Happen
    Budget Should Hold        rollback
