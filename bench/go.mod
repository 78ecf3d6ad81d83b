module github.com/fairlead/fairlead/bench

go 1.26.8

require github.com/fairlead/fairlead/services/router v0.0.0

replace (
	github.com/fairlead/fairlead/platform => ../platform
	github.com/fairlead/fairlead/proto => ../proto
	github.com/fairlead/fairlead/services/router => ../services/router
)
