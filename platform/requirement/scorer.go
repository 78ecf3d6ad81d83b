package requirement

import "slices"

// ServedByScorer says whether a package is one of those whose part the scorer
// plays: they need not be installed.
func ServedByScorer(name string) bool {
	return slices.Contains([]string{
		"azureml-defaults", "azureml-core", "azureml-monitoring", "azureml-contrib-services", "azureml-inference-server-http", "inference-schema",
	}, Key(name))
}
