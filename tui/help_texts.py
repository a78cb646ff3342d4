"""What F1 says: for each step what happens, what its gate means, and what to do when it does not hold."""

from __future__ import annotations

STEP_HELP = {
    "coverage": """\
The end-to-end tests are run against the assistant's flows. Where no language model is asked, the commands behind each \
message are inferred: the shortest ones that make the test's own expectations come true.

Only what a passing test shows can be learnt later. So the gate asks for 90 % of all flow steps, 80 % of each flow, and \
every command the assistant can use.

When it fails: look at the Flows tab for lines no test reaches and write a test that goes there; look at the Tests tab \
for tests that fail and why.""",
    "dataset": """\
Passing tests become rows: a prompt as the model will see it, and the commands it should write. Other wordings of each \
message multiply them; a wording that loses a value or changes the meaning is dropped.

Rows are divided by whole tests, so that validation asks in situations and words the model has not been trained on.

When it fails: something is only in validation. Add a test that holds it too.

`v` shows the rows one by one: accept, reject and edit wordings, then run again. What you decide is written down at once.""",
    "training": """\
A small adapter (LoRA) is trained on the rows and merged into the base model; for a small model the method `full` trains all weights \
instead. What several rows of a step begin with is \
computed once, which is exact and several times faster.

The line above the buttons says what it will take: minutes, memory, and dollars where the machine's price is given. \
Effort chooses epochs, \
rank and learning rate for the model's size; what you answer yourself wins.

Watch both curves fall. Validation rising while training falls means too many epochs; both high at the end means too few. \
The run says itself what it sees; one that overfits, diverges or has labels that teach nothing stops, and the weights of its best \
validation are kept: when those are from before and had learnt, the recipe goes on with them and warns.

Stopping keeps a checkpoint; running again goes on from there. Or it ends where it is and the best weights so far become the model: \
ctrl+x asks which.

The chart is read with the arrows or the pointer, and zoomed with + and - or the wheel; `l` gives the log its place, where `/` searches \
and `f` filters.""",
    "evaluation": """\
The tuned model is served and drives the assistant through the validation and training tests. A test passes when the \
assistant does all that the test expects.

At least 80 % of validation tests and 95 % of training tests must pass. The band behind a bar is where the true rate lies with 95 % \
certainty, the mark across it is what is asked: while the band reaches over the mark, more tests are needed to decide.

When validation fails: the list shows by cause what was said instead; Enter opens the conversation. \
Missed values and confused flows want more tests or more \
wordings of that kind. When training fails: train longer or with a higher rank.""",
    "production": """\
The model that will be used is trained once more, on training and validation rows together and with the same settings. \
The golden tests, set aside before any rows were made, judge it: no model has learnt from them.

Validation tests are known to it now, as training tests are: they show that nothing broke, not how good it is on new ones. Without a \
golden set that is all there is.

When it fails: as in the evaluation, the list shows by cause what was said instead.""",
    "deployment": """\
The final model is served on this machine, bound to loopback, and goes on when calmtune is closed. Files for docker, \
Kubernetes and rented machines are written to a folder to take away; its README.md says which to use how. "Export to" \
copies all of it to a folder or an object store, and reads it back.

`calmtune stop` ends the server.""",
    "connection": """\
config.yml and endpoints.yml are changed to name the new model, in a copy unless you ask for your own files to be \
changed (a backup stays beside them). One validation test is then played with it as a first conversation.""",
}

SCREEN_HELP = {
    "SessionsScreen": (
        "Sessions",
        """\
A session is one walk through the seven steps with one assistant. Choose one to go on where it stands, or name an assistant's folder \
(config.yml, domain, data and end-to-end tests) to begin a new one. Nothing in that folder is changed unless you ask \
for it in the last step.

Without an assistant at hand, the demo takes a sample one through all steps on this machine.""",
    ),
    "ReviewScreen": (
        "Rows",
        """\
Every prepared row with the commands the model shall write. What you accept, reject or edit is written down at once, \
and becomes part of the \
rows when the step runs again.""",
    ),
    "MachinesScreen": (
        "Machines to rent",
        """\
What clouds ask for a machine that training fits on, with the minutes and dollars this training would take there. Enter \
takes one: it becomes \
an answer of the step, nothing is rented before the step runs.""",
    ),
    "ChatScreen": (
        "Conversation",
        """\
A conversation with the tuned model, through the assistant's flows as in production. Below each of your messages stand \
the commands the model \
wrote and how long that took. Nothing said here is kept or learnt from.""",
    ),
    "PreviewScreen": (
        "What will be written",
        """\
Each file a step will write, as a difference to what is there now. Nothing has been written yet.""",
    ),
    "LeaveDialog": (
        "Leaving",
        "A training goes on without the app: leave it, stop it, or stay. What the app does itself ends with it, to be taken up later. "
        "Rented machines cost money until they end.",
    ),
    "ChangeDialog": (
        "Changed answers",
        """\
Finished steps depend on these answers. Changing them makes those steps stale; what they made is kept, and going back to the old answers \
brings it back without running anything.""",
    ),
    "TourScreen": ("Tour", "Three pages on what calmtune does. The arrow keys turn them, Escape skips them."),
}
"""By class of the screen: its title, and what one does there."""
