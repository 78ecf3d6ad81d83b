// Package worker runs an entry script in Python processes and hands requests to them.
//
// A Pool keeps a fixed number of worker processes, each with one lane or, where it runs several requests at once, with as many. A lane
// answers one request at a time; requests wait for an idle lane in the order of their arrival, in a bounded queue. A worker that ends,
// hangs, grows too large or is told to end is replaced, with growing pauses if that happens again and again; only the requests it was
// running are lost, and those not when it can still answer them. All methods of Pool may be called from any goroutine.
//
// Workers are started one by one, each calling init(), or forked from a process that has called it once, the nursery.
//
// No worker outlives the scorer: each is killed by the kernel when the thread or the process that started it ends, ends itself when its
// sockets close, and is the leader of a process group that is killed as a whole.
//
// # Protocol
//
// A lane is a Unix socket pair; the worker finds its end of the first at the descriptor number given as its only argument, and gets the
// others with the load order. Standard input is empty, standard output and error belong to the script. Frames are those of package
// frame. A header is a byte, the kind, and what the kind says; fields are a JSON object, which may be left out when it is empty. Bodies
// of a megabyte and more are detached: they lie in a file in memory, which the worker maps and the scorer sends from.
//
//	scorer → worker
//	  import       before load, any number of times. packages: what to import ahead of time
//	  load         once. script, source_dir: absolute paths; requests_at_once; preload: become a nursery. For a process that was started
//	               before it was known for what also output: whether standard output and error come as descriptors, directory,
//	               environment: complete. Descriptors: output and error, further lanes
//	  score        a request, on any lane, one at a time. Length of the id (a byte), id (for log lines), fields; body: the request's body
//	  fork         to a nursery. reap: workers that nobody will signal any more. Descriptors: the lanes of a new worker
//
//	worker → scorer
//	  imported     failed: by package, why
//	  loaded       init() has returned. The fields are Facts
//	  load_failed  cause: one line; body: traceback. The worker ends
//	  reply        to each score. Outcome (a byte), nanoseconds that run() took (8 bytes), fields; body, or with stream: true chunk
//	               frames and one end frame follow
//	  chunk        a piece of a streamed body
//	  end          of a streamed body. failed: whether it broke off
//	  forked       from a nursery. pid
//	  exited       from a nursery. pid; code or signal. The process is a zombie until it is reaped
package worker
