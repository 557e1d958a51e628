# %% [markdown]
# # How state-space models came to understand video
#
# Each lesson runs by itself, offline, in under a minute on a laptop without a GPU. These are your own copies: change what you
# like. Deleting one is how you start it over.
#
# <!-- lessons -->
#
# A lesson goes in a circle. *Predict*: choose or write down a number before you run the cell. *Build*: a few lines that are the
# idea. *See*: a picture, or a panel with controls. *Check*: you write ten lines, and a check says whether they are right, and if
# not, what is probably behind it.
#
# ## What this machine can do

# %%
from vmamba_edu import doctor

print(doctor.report(doctor.examine()))
