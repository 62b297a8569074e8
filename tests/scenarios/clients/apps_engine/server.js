'use strict';

// A Rocket.Chat server as far as an App sees one: the real Apps-Engine on storages and bridges in memory.
//
// Standard input holds a plan, standard output what came of it, both as JSON:
//   plan    {package, settings: {id: value}, user, room, thread, patience, steps}
//   steps   [{do: 'run' | 'preview' | 'choose', command, params, item}]
//   result  {info, status, commands, settings, steps: [{shown, preview}], requests, errors}
// `patience` is the part of each time-out that is really waited; `errors` is what the App threw.

const { readFileSync } = require('fs');

const { AppManager } = require('@rocket.chat/apps-engine/server/AppManager');
const { SlashCommandContext } = require('@rocket.chat/apps-engine/definition/slashcommands');
const { Bridges, Items, Logs, Sources } = require('./memory');

console.log = console.info = console.debug = console.error; // standard output is for the result

async function main(plan) {
  const errors = [];
  const requests = [];
  const bridges = new Bridges({ requests, patience: plan.patience || 1 });
  const manager = new AppManager({
    metadataStorage: new Items(),
    logStorage: new Logs(errors),
    sourceStorage: new Sources(),
    bridges,
  });
  await manager.load();

  const zip = readFileSync(plan.package);
  const { info } = await manager.getParser().unpackageApp(zip);
  const added = await manager.add(zip, { enable: true, user: plan.user, permissionsGranted: info.permissions });
  const app = added.getApp();
  const settings = manager.getSettingsManager();
  const provided = Object.values(settings.getAppSettings(app.getID()));
  for (const [id, value] of Object.entries(plan.settings || {})) {
    await settings.updateAppSetting(app.getID(), { ...settings.getAppSetting(app.getID(), id), value });
  }

  const steps = [];
  for (const step of plan.steps || []) {
    steps.push(await take(step, plan, manager.getCommandManager(), bridges.getMessageBridge()));
  }
  return {
    info: app.getInfo(),
    status: app.getStatus(),
    commands: [...bridges.getCommandBridge().registered.values()],
    settings: provided,
    texts: manager.getLanguageContent(),
    steps,
    requests,
    errors,
  };
}

async function take(step, plan, commands, messages) {
  const context = new SlashCommandContext(
    Object.freeze({ ...plan.user }),
    Object.freeze({ ...plan.room }),
    argumentsOf(step.params || ''), // not frozen as on a real server: the sandbox's newer releases refuse that
    plan.thread,
    'trigger-1'
  );
  messages.shown = [];
  let preview = null;
  if (step.do === 'run') {
    await commands.executeCommand(step.command, context);
  } else if (step.do === 'choose') {
    await commands.executePreview(step.command, step.item, context);
  } else {
    preview = await commands.getPreviews(step.command, context);
  }
  return { shown: messages.shown, preview };
}

// A Rocket.Chat server hands an App the words of a line: split at spaces, those between two quotes kept together, the
// quotes themselves gone.
function argumentsOf(params) {
  const words = [];
  let word = null;
  for (let at = 0; at < params.length; at += 1) {
    const sign = params[at];
    const end = sign === '"' || sign === "'" ? closing(params, at) : -1;
    if (end > at) {
      word = (word || '') + params.slice(at + 1, end).replace(/\\"/g, '"');
      at = end;
    } else if (/\s/.test(sign)) {
      words.push(...(word === null ? [] : [word]));
      word = null;
    } else {
      word = (word || '') + sign;
    }
  }
  return word === null ? words : [...words, word];
}

function closing(params, start) {
  let at = start + 1;
  while (at < params.length && params[at] !== params[start]) {
    at += params[at] === '\\' ? 2 : 1;
  }
  return at < params.length ? at : -1;
}

main(JSON.parse(readFileSync(0, 'utf8'))).then(
  (result) => process.stdout.write(JSON.stringify(result)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  }
);
