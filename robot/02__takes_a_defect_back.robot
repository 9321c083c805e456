*** Settings ***
Documentation     An extension that goes wrong on the running kernel is taken back by the kernel itself, in time, and
...               the board goes on as if nothing had been.
Resource          lab.resource
Suite Setup       Lease Board
Test Setup        Flash Kernel    testing
Suite Teardown    Give Board Back
Test Tags         rollback

*** Test Cases ***
An Extension That Faults Is Taken Back
    [Tags]    smoke
    Deploy Extension That     faults
    Rollback Should Happen    within=100 ms
    Kernel Should Still Answer

An Extension That Does Not Come To An End Is Taken Back
    Deploy Extension That     overruns
    Rollback Should Happen    within=100 ms
    Kernel Should Still Answer

Rolling Back Keeps Its Budget Each Time
    [Tags]    budgets
    Deploy Extension That     faults
    Rollback Should Happen
    Deploy Extension That     overruns
    Rollback Should Happen
    Budget Should Hold        rollback
