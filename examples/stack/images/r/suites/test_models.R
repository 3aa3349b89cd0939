# What an analyst does first. A plain script: it passes if Rscript ends without an error.

set.seed(1)
x <- 1:100
fit <- lm(y ~ x, data.frame(x, y = 3 + 2 * x + rnorm(100)))
stopifnot(abs(coef(fit)[["x"]] - 2) < 0.05, abs(coef(fit)[["(Intercept)"]] - 3) < 1)

a <- matrix(rnorm(1e4), 100)
stopifnot(all.equal(a %*% solve(a), diag(100)))

suppressPackageStartupMessages({
  library(data.table)
  library(jsonlite)
})
totals <- data.table(city = c("Oslo", "Lima", "Oslo"), n = 1:3)[, .(n = sum(n)), by = city]
stopifnot(identical(fromJSON(toJSON(totals))[["n"]], c(4L, 2L)))
