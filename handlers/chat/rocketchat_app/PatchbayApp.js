'use strict';

// The native Rocket.Chat App: registers /hook and /integrations, forwards what is typed to a Patchbay server, and
// shows what it answers. One file without a build step, because newer engines load no other file of an App.
//
// The wire is the one `handlers/chat/rocketchat_app.py` reads: JSON, signed over its raw bytes.

const { createHmac, randomBytes } = require('crypto');
const { App } = require('@rocket.chat/apps-engine/definition/App');

const COMMANDS = ['hook', 'integrations'];
const PATH = '/commands/rocketchat-app';
const RUN_TIMEOUT_MS = 10000;
const PREVIEW_TIMEOUT_MS = 3000; // whoever types has gone on by then
const ITEMS_AT_MOST = 10; // clients take no more
const SETTINGS_PLACE = 'Administration → Apps → Patchbay → Settings';

const SETTING = { url: 'server_url', workspace: 'workspace_id', secret: 'shared_secret' };

class PatchbayApp extends App {
  async extendConfiguration(configuration) {
    // `serverUrl` is written into the manifest by `patchbay rocketchat-app build`
    await configuration.settings.provideSetting(setting(SETTING.url, 'string', this.getInfo().serverUrl || ''));
    await configuration.settings.provideSetting(setting(SETTING.workspace, 'string', ''));
    await configuration.settings.provideSetting(setting(SETTING.secret, 'password', ''));
    for (const command of COMMANDS) {
      await configuration.slashCommands.provideSlashCommand(slashCommand(command));
    }
  }
}

function setting(id, type, packageValue) {
  return { id, type, packageValue, required: true, public: false, i18nLabel: id, i18nDescription: `${id}_description` };
}

function slashCommand(command) {
  return {
    command,
    i18nParamsExample: 'params_example',
    i18nDescription: 'command_description',
    providesPreview: true,

    async executor(context, read, modify, http) {
      await run(command, lineOf(context), context, read, modify, http);
    },

    async previewer(context, read, modify, http) {
      const found = await ask('preview', command, lineOf(context), context, read, http, PREVIEW_TIMEOUT_MS);
      const items = Array.isArray(found.data && found.data.items) ? found.data.items : [];
      return { i18nTitle: 'preview_title', items: items.filter(isItem).slice(0, ITEMS_AT_MOST) };
    },

    // A client that shows previews runs the chosen one instead of what is typed.
    async executePreviewItem(item, context, read, modify, http) {
      await run(command, isItem(item) ? item.value : lineOf(context), context, read, modify, http);
    },
  };
}

function isItem(item) {
  return Boolean(item) && typeof item.id === 'string' && item.type === 'text' && typeof item.value === 'string';
}

async function run(command, line, context, read, modify, http) {
  const found = await ask('command', command, line, context, read, http, RUN_TIMEOUT_MS);
  const answers = found.data && found.data.answers;
  const problem = found.problem || (isAnswers(answers) ? null : notPatchbay(found.status));
  if (problem) {
    await modify.getNotifier().notifyUser(context.getSender(), message(`Not done. ${problem}`, context, modify).getMessage());
    return;
  }
  for (const answer of answers) {
    const said = message(answer.text, context, modify);
    if (answer.to === 'room') {
      await modify.getCreator().finish(said);
    } else {
      // whatever is not plainly meant for the room may be a secret
      await modify.getNotifier().notifyUser(context.getSender(), said.getMessage());
    }
  }
}

function isAnswers(answers) {
  return Array.isArray(answers) && answers.every((answer) => Boolean(answer) && typeof answer.text === 'string');
}

function message(text, context, modify) {
  const started = modify.getCreator().startMessage().setRoom(context.getRoom()).setText(text);
  return context.getThreadId() ? started.setThreadId(context.getThreadId()) : started;
}

// Answers {data, status} or {problem, status}; never throws, because the engine would swallow it and say nothing.
async function ask(kind, command, line, context, read, http, timeout) {
  const settings = await readSettings(read);
  if (settings.problem) {
    return settings;
  }
  const content = JSON.stringify({
    version: 1,
    kind,
    workspace: settings.workspace,
    request_id: randomBytes(16).toString('hex'),
    command,
    text: line,
    user: { id: context.getSender().id, username: context.getSender().username },
    room: { id: context.getRoom().id },
    thread_id: context.getThreadId() || null,
  });
  const started = Date.now();
  let response;
  try {
    response = await http.post(settings.url + PATH, { content, headers: signed(content, settings.secret), timeout });
  } catch (error) {
    const isLate = Date.now() - started >= timeout || saysTimeout(error);
    return { problem: isLate ? tooLate(timeout) : unreachable(settings.url) };
  }
  if (!response) {
    return { problem: 'This App may not use the network; an administrator can grant it the permission "networking".' };
  }
  const status = response.statusCode;
  if (status !== 200) {
    return { status, problem: refused(status, settings.url) };
  }
  try {
    return { status, data: JSON.parse(response.content) };
  } catch (error) {
    return { status, problem: notPatchbay(status) };
  }
}

async function readSettings(read) {
  const reader = read.getEnvironmentReader().getSettings();
  const value = async (id) => String((await reader.getValueById(id)) || '').trim();
  const found = {
    url: (await value(SETTING.url)).replace(/\/+$/, ''),
    workspace: await value(SETTING.workspace),
    secret: await value(SETTING.secret),
  };
  if (!found.url || !found.workspace || !found.secret) {
    return { problem: `Patchbay is not set up here: an administrator enters address, workspace and secret in ${SETTINGS_PLACE}.` };
  }
  if (!/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/i.test(found.url)) {
    return { problem: `The address of the Patchbay server must look like https://hooks.example.com; an administrator can correct it in ${SETTINGS_PLACE}.` };
  }
  return found;
}

function signed(content, secret) {
  const time = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', secret).update(`v0:${time}:${content}`, 'utf8').digest('hex');
  return {
    'Content-Type': 'application/json; charset=utf-8',
    'X-Patchbay-Timestamp': time,
    'X-Patchbay-Signature': `v0=${signature}`,
  };
}

// Rocket.Chat hands over the arguments without the quotes they were typed in; they are put back.
function lineOf(context) {
  return context.getArguments().map(quoted).join(' ');
}

function quoted(argument) {
  if (argument !== '' && !/\s/.test(argument)) {
    return argument;
  }
  const key = /^(?:(?:--?|[—–−]+)?[A-Za-z_][\w.-]*=)?/.exec(argument)[0];
  const value = argument.slice(key.length).replace(/[\\"“”„«»]/g, '\\$&');
  return `${key}"${value}"`;
}

// Servers name a time-out differently, and the engine's sandbox hides some names.
function saysTimeout(error) {
  const said = [error && error.name, error && error.type, error && error.code, error && error.message].join(' ');
  return /timeout|timed out|ETIMEDOUT|abort/i.test(said);
}

function tooLate(timeout) {
  return `Patchbay did not answer within ${timeout / 1000} s. The command may have been done all the same: look before you repeat it.`;
}

function unreachable(url) {
  return `Patchbay cannot be reached at ${url}; try again in a minute. If it stays away, an administrator checks the server, and the address in ${SETTINGS_PLACE}.`;
}

function refused(status, url) {
  switch (status) {
    case 400:
      return 'Patchbay does not understand this App; an administrator builds it anew with `patchbay rocketchat-app build` and updates it here.';
    case 401:
      return `Patchbay did not accept this server's signature: an administrator checks workspace and secret in ${SETTINGS_PLACE}, and the clocks of both servers.`;
    case 404:
      return `There is no Patchbay at ${url}; an administrator checks the address in ${SETTINGS_PLACE}.`;
    case 413:
      return 'The line is too long for Patchbay; write a shorter one.';
    case 429:
      return 'Too many commands in a short time; wait a minute, then try again.';
    default:
      return status >= 500
        ? `Patchbay has a fault (status ${status}); try again in a minute. If it stays, an administrator looks into the server's log.`
        : notPatchbay(status);
  }
}

function notPatchbay(status) {
  return `The answer (status ${status}) is none of a Patchbay server; an administrator checks the address in ${SETTINGS_PLACE}.`;
}

exports.PatchbayApp = PatchbayApp;
