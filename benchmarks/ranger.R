# Mean and spread of ranger's trees: `Rscript ranger.R TRAIN.csv CELLS.csv`; prints the seconds of prediction.
arguments <- commandArgs(TRUE)
train <- read.csv(arguments[1])
cells <- read.csv(arguments[2])
forest <- ranger::ranger(y ~ ., train, num.trees = 500, mtry = 18, min.node.size = 3, num.threads = 2, seed = 1)
cat(system.time({
  trees <- predict(forest, cells, predict.all = TRUE, num.threads = 2)$predictions
  mean <- rowMeans(trees)
  spread <- sqrt(rowMeans((trees - mean)^2))
})[["elapsed"]])
