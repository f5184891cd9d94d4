# A mixed model by REML: `Rscript lme4.R RECORDS.csv`, columns y, biome, unit and predictors; prints the seconds.
# Coefficients vary by biome, independently, and sites within biomes.
records <- read.csv(commandArgs(TRUE)[1])
predictors <- setdiff(names(records), c("y", "biome", "unit"))
terms <- paste(predictors, collapse = " + ")
model <- as.formula(paste("y ~", terms, "+ (1 +", terms, "|| biome) + (1 | unit)"))
cat(system.time(suppressMessages(suppressWarnings(lme4::lmer(model, records))))[["elapsed"]])
