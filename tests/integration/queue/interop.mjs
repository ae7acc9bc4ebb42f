// Speaks to the queue as a Node service would: reads what is there, then adds a job of its own.
// node interop.mjs <folder with node_modules> <port> <prefix> <queue> <job id> <json data>
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, port, prefix, name, jobId, data] = process.argv.slice(2);
const { Queue } = createRequire(join(folder, "package.json"))("bullmq");
const queue = new Queue(name, { prefix, connection: { host: "127.0.0.1", port: Number(port) } });
const counts = await queue.getJobCounts("waiting", "active", "delayed", "failed");
const waiting = (await queue.getJobs(["waiting"])).map(({ id, name, data, opts }) => ({ id, name, data, opts }));
const states = await Promise.all((await queue.getJobs(["active", "delayed"])).map((job) => job.getState()));
await queue.add("execution", JSON.parse(data), { jobId, removeOnComplete: true });
await queue.close();
console.log(JSON.stringify({ counts, waiting, states: states.sort() }));
