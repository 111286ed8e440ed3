"""Many trials as one network: the vectorized engine.

Trials differ in width, depth, batch size and optimizer. How they are put together was
decided by measurement (two cores, float32, 64 random configurations on the digits;
``experiments/01-many-trials-as-one-network`` measures it again):

- *Side by side, not padded.* The hidden units of all trials are the columns of one
  matrix a layer; each trial multiplies its own part. With widths drawn from 16 to 128,
  one padded, batched product takes two to three times as long as the single ones; with
  equal widths it saves a sixth.
- *Without autograd.* Where networks are small, a step written out over plain tensors
  takes a third of the time of the same step through autograd and an optimizer object.
- *One batch size a stack*, since trials of one batch size take their steps together.
  One trial a stack takes 1.3 to 1.6 times as long where networks are small, and a tenth
  less where they are large, because weights, gradients and moments stay in the cache
  from step to step. So stacks end at 2**16 entries a layer or 2**18 parameters: fewer
  calls save nothing more there, and memory does not grow with the trials that are open.
- *Processes, not threads.* Two Python threads wait for each other: 1.3 times slower
  than one where networks are small, 1.2 times faster by default widths; two processes
  are 1.6 and 1.9 times faster. The second imports torch while the first does, so it
  is there from the start. Threads inside an operation pay only in a large network
  that is alone, and are not used at all, because they round otherwise.
- *Dropout's masks by 32-bit words of NumPy*, many steps at once: two to three times
  faster than 64-bit words by torch's operations, which a GPU uses.
- *Single precision.* bfloat16 products take about half the time, but no recipe would
  come to the same curve as in a Trainer. Nor is anything compiled: a step is new for
  every set of trials, and compiling takes longer than most studies.

On a CPU, what a trial comes to does not depend on any of this, not in its last bit, if
its layers have two units or more.
"""

from tunekit.vectorized.engine import VectorizedEngine

__all__ = ["VectorizedEngine"]
