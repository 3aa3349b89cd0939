# Loads every package that was added to R's own, and prints a line for each: its name, a tab, and what went wrong.
asked <- commandArgs(trailingOnly = TRUE)
installed <- installed.packages()
found <- unique(installed[is.na(installed[, "Priority"]), "Package"])
if (length(asked)) found <- asked
for (name in sort(found)) {
  said <- tryCatch({ suppressPackageStartupMessages(loadNamespace(name)); "" }, error = function(e) conditionMessage(e))
  cat(name, "\t", gsub("[\t\r\n]+", " ", said), "\n", sep = "")
}
