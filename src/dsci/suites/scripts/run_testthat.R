# Runs one file of tests inside an image, by the image's own testthat, and writes what came of each test as JUnit XML.
# Arguments: the file, the JUnit file, the seconds that a test may take. Its own writer, since testthat's needs one more package and lets through what
# XML may not hold.

arguments <- commandArgs(trailingOnly = TRUE)
file <- arguments[[1]]
record <- arguments[[2]]
limit <- as.numeric(arguments[[3]])

lacking <- tryCatch({ loadNamespace("testthat"); "" }, error = conditionMessage)
if (nzchar(lacking)) {
  writeLines(paste("dsci: the image's R cannot load testthat, which this file uses:", lacking), stderr())
  quit(save = "no", status = 3)
}
suppressPackageStartupMessages(library(testthat))

escaped <- function(text) {
  text <- iconv(enc2utf8(paste(text, collapse = "\n")), "UTF-8", "UTF-8", sub = "byte")
  for (pair in list(c("&", "&amp;"), c("<", "&lt;"), c(">", "&gt;"), c('"', "&quot;"), c("\n", "&#10;"))) {
    text <- gsub(pair[[1]], pair[[2]], text, fixed = TRUE, useBytes = TRUE)
  }
  text
}

place <- function(expectation) {
  where <- expectation$srcref
  if (inherits(where, "srcref")) paste0(basename(file), ":", where[[1]], ": ") else ""
}

told <- function(expectations) {
  paste(vapply(expectations, function(each) paste0(place(each), conditionMessage(each)), ""), collapse = "\n\n")
}

of_kind <- function(test, kinds) {
  Filter(function(each) sub("^expectation_", "", class(each)[[1]]) %in% kinds, test$results)
}

case <- function(test) {
  wrong <- of_kind(test, c("failure", "error"))
  skipped <- of_kind(test, "skip")
  warned <- of_kind(test, "warning")
  inner <- if (length(wrong)) {
    sprintf("<failure>%s</failure>", escaped(told(wrong)))
  } else if (length(skipped)) {
    sprintf('<skipped message="%s"/>', escaped(sub("^Reason: ", "", conditionMessage(skipped[[1]]))))
  } else if (length(warned)) {
    sprintf('<properties><property name="dsci-note" value="%s"/></properties>', escaped(told(warned)))
  } else {
    ""
  }
  name <- if (is.null(test$test) || is.na(test$test)) "(outside of a test)" else test$test
  sprintf('<testcase name="%s" time="%.3f">%s</testcase>', escaped(name), as.numeric(test$real), inner)
}

# Says which test runs, for one that is killed, and ends a test that takes too long.
timed <- R6::R6Class("timed", inherit = LocationReporter, public = list(
  start_test = function(context, test) {
    super$start_test(context, test)
    setTimeLimit(elapsed = limit)
  },
  end_test = function(context, test) {
    setTimeLimit()
    super$end_test(context, test)
  }
))

results <- test_file(file, reporter = timed$new(), stop_on_failure = FALSE, stop_on_warning = FALSE)
document <- c("<testsuite>", vapply(results, case, ""), "</testsuite>")
out <- base::file(record, open = "wb")
writeLines(document, out, useBytes = TRUE)
close(out)
quit(save = "no", status = 0)
