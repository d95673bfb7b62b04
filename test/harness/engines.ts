/** What a topology leaves on the engines, and taking it away again. */
import cassandra from "cassandra-driver";
import { Redis } from "ioredis";
import kafkajs from "kafkajs";
import mysql from "mysql2/promise";

/** Removes everything that carries the name: a keyspace, a database, topics and keys. */
export async function removeFromEngines(name: string): Promise<void> {
  await Promise.all([dropKeyspace(name), dropDatabase(name), dropTopics(name), dropKeys(name)]);
}

const DROP_TIMEOUT_MS = 60_000;

async function dropKeyspace(name: string): Promise<void> {
  const client = new cassandra.Client({
    contactPoints: ["127.0.0.1:19042"],
    localDataCenter: "datacenter1",
    socketOptions: { readTimeout: DROP_TIMEOUT_MS },
  });
  try {
    await client.connect();
    await client.execute(`DROP KEYSPACE IF EXISTS ${name}`);
  } finally {
    await client.shutdown();
  }
}

async function dropDatabase(name: string): Promise<void> {
  const connection = await mysql.createConnection({ host: "127.0.0.1", port: 13306, user: "root" });
  try {
    await connection.query(`DROP DATABASE IF EXISTS ${name}`);
  } finally {
    await connection.end();
  }
}

async function dropTopics(name: string): Promise<void> {
  const kafka = new kafkajs.Kafka({
    brokers: ["127.0.0.1:19092"],
    logLevel: kafkajs.logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect();
  try {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${name}.`));
    if (topics.length > 0) await admin.deleteTopics({ topics });
  } finally {
    await admin.disconnect();
  }
}

async function dropKeys(name: string): Promise<void> {
  const redis = new Redis({ host: "127.0.0.1", port: 16379 });
  try {
    const keys = await redis.keys(`${name}:*`);
    for (let at = 0; at < keys.length; at += 1000) await redis.del(...keys.slice(at, at + 1000));
  } finally {
    redis.disconnect();
  }
}
