// What the page says, in English and Chinese. Keys eN and eN-T are failures: code N, of
// frames of type T.

const en = {
  login: "Log in", register: "Register", logout: "Log out", dismiss: "Dismiss",
  registerHint: "You get a user id, which you log in with.",
  userId: "User id", password: "Password", name: "Name",
  registered: "You are registered. Your user id is {0}: you log in with it.",
  conversations: "Conversations", messages: "Messages", friends: "Friends", groups: "Groups", others: "Others",
  none: "none yet", online: "online", offline: "reconnecting…", connecting: "connecting…", away: "away",
  find: "Find people", keyword: "Id or part of the name", search: "Search", found: "{0} found",
  add: "Add friend", added: "{0} is a friend now.",
  joinOrCreate: "Join or create a group", groupId: "Group id", join: "Join",
  groupName: "Name of the group", description: "Description", create: "Create",
  joined: "You are in group {1}: {0}.", group: "Group {0}", user: "User {0}",
  back: "Back", choose: "Choose a conversation.", older: "Older messages", empty: "No messages yet.",
  message: "Message", messageHint: "Message", send: "Send",
  you: "You", says: "{0}: {1}", unread: "{0} unread", sending: "sending…", retry: "Send again",
  notice: "The server says: {0}.", comesBack: "Reconnecting soon.", ended: "The session is over: log in again.",
  e400: "The server did not understand that", e401: "Log in first.", e403: "That is not yours to do.",
  e404: "There is no such user or group.", e409: "That is so already.", e413: "That is too long.",
  e429: "Too fast: wait a little.", e500: "The server failed. That is not your fault.",
  e503: "Not accepted, nothing happened. Try again later.", e504: "No answer: it may have happened or not.",
  "e401-1": "The user id or the password is wrong.", "e404-4": "There is no such user.",
  "e403-9": "You are not a member of this group.", "e403-16": "You are not a member of this group.",
  "e404-6": "There is no such user.", "e409-6": "You are friends already.", "e403-6": "One of you has too many friends.",
  "e404-10": "There is no such group.", "e409-10": "You are a member already.",
};

const zh = {
  login: "登录", register: "注册", logout: "退出登录", dismiss: "关闭",
  registerHint: "注册后会得到一个用户号，用它登录。",
  userId: "用户号", password: "密码", name: "昵称",
  registered: "注册成功。您的用户号是 {0}，请用它登录。",
  conversations: "会话", messages: "消息", friends: "好友", groups: "群组", others: "其他人",
  none: "暂无", online: "在线", offline: "正在重连…", connecting: "正在连接…", away: "离线",
  find: "查找用户", keyword: "用户号或部分昵称", search: "搜索", found: "找到 {0} 个",
  add: "加好友", added: "已和 {0} 成为好友。",
  joinOrCreate: "加入或创建群组", groupId: "群号", join: "加入",
  groupName: "群名称", description: "群简介", create: "创建",
  joined: "您已在群 {1}：{0}。", group: "群 {0}", user: "用户 {0}",
  back: "返回", choose: "请选择一个会话。", older: "更早的消息", empty: "还没有消息。",
  message: "消息", messageHint: "输入消息", send: "发送",
  you: "我", says: "{0}：{1}", unread: "{0} 条未读", sending: "发送中…", retry: "重新发送",
  notice: "服务器通知：{0}。", comesBack: "即将重新连接。", ended: "登录已失效，请重新登录。",
  e400: "服务器无法理解该请求", e401: "请先登录。", e403: "您无权这样做。",
  e404: "没有这个用户或群组。", e409: "已经是这样了。", e413: "内容太长。",
  e429: "操作太频繁，请稍候。", e500: "服务器出错，不是您的问题。",
  e503: "未被接受，什么也没有发生，请稍后再试。", e504: "没有回应，可能成功也可能没有。",
  "e401-1": "用户号或密码错误。", "e404-4": "没有这个用户。",
  "e403-9": "您不是该群成员。", "e403-16": "您不是该群成员。",
  "e404-6": "没有这个用户。", "e409-6": "你们已经是好友了。", "e403-6": "其中一方的好友数已达上限。",
  "e404-10": "没有这个群。", "e409-10": "您已经是该群成员。",
};

export const language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
const words = language === "zh" ? zh : en;

/** The words for a key, with {0}, {1}… filled in. */
export const t = (key, ...values) => words[key].replace(/\{(\d)\}/g, (_, n) => values[n]);

/** A WireError in words. */
export function explain(error) {
  const key = [`e${error.code}-${error.type}`, `e${error.code}`].find((k) => k in words) ?? "e500";
  return error.code === 400 ? `${t(key)}: ${error.field} ${error.message}` : t(key);
}
