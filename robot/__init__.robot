*** Settings ***
Documentation     What a board of this kind must do before it is accepted: adapt to the traffic it sees within its
...               budgets, take back what goes wrong, refuse what is unsafe, and run no kernel but its own.
Name              Assay acceptance
Test Timeout      10 minutes
