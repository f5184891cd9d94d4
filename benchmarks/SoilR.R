# Both turnover times of a layer by SoilR: `Rscript SoilR.R LAYER.csv CURVE.csv`, columns delta14c and year of each;
# prints the seconds.
arguments <- commandArgs(TRUE)
layer <- read.csv(arguments[1])
curve <- read.csv(arguments[2])[, c("year", "delta14c")]
suppressPackageStartupMessages(library(SoilR))
cat(system.time(invisible(capture.output(
  turnoverFit(layer$delta14c, layer$year, min(curve$year), curve, plot = FALSE)
)))[["elapsed"]])
